"""Tests of the loggers of a run."""

import pathlib
import sys
import time

import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import numpy as np
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from acme_psro.agent_runs.logs import SECONDS_BETWEEN_ROWS, LoggerFactory, TableLogger
from acme_psro.system import tables


def events_in(directory: pathlib.Path) -> list[tuple[int, str, float]]:
    """Returns step, tag and value of every scalar."""
    (path,) = directory.iterdir()
    found = []
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            found.append((event.step, value.tag, value.tensor.float_val[0]))
    return found


def test_a_row_goes_to_a_table_and_to_tensorboard(tmp_path: pathlib.Path) -> None:
    logger = TableLogger(tmp_path, "learner", "learner_steps")
    logger.write({"loss": np.float32(0.5), "learner_steps": 7, "nothing": float("nan")})
    logger.close()
    (row,) = tables.read(tmp_path / "learner.csv")
    assert list(row) == ["learner_steps", "loss", "nothing"]
    assert (row["learner_steps"], row["loss"]) == (7.0, 0.5)
    assert sorted(events_in(tmp_path / "events" / "learner")) == [(7, "learner_steps", 7.0), (7, "loss", 0.5)]


def test_each_actor_has_files_of_its_own(tmp_path: pathlib.Path) -> None:
    factory = LoggerFactory(tmp_path)
    for instance in range(3):
        factory("actor", "actor_steps", instance).write({"actor_steps": instance})
    assert {path.name for path in tmp_path.glob("*.csv")} == {"actor.csv", "actor_1.csv", "actor_2.csv"}
    assert tables.read(tmp_path / "actor_2.csv") == [{"actor_steps": 2.0}]


def test_rows_that_come_fast_are_thinned_out(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    logger = LoggerFactory(tmp_path)("learner", "learner_steps")
    for steps in range(4):
        logger.write({"learner_steps": steps})
        now += SECONDS_BETWEEN_ROWS * 0.6
    assert [row["learner_steps"] for row in tables.read(tmp_path / "learner.csv")] == [0, 2]

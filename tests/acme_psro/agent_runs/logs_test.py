"""Tests of the loggers of a run."""

import pathlib
import sys
import time
from collections.abc import Iterator

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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time, as a list of one number."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    yield now


def test_rows_that_come_fast_are_thinned_out_but_the_last_is_kept(
    tmp_path: pathlib.Path, clock: list[float]
) -> None:
    factory = LoggerFactory(tmp_path)
    logger, row = factory("learner", "learner_steps"), {}
    for row["learner_steps"] in range(6):
        logger.write(row)
        clock[0] += SECONDS_BETWEEN_ROWS * 0.6
    assert [row["learner_steps"] for row in tables.read(tmp_path / "learner.csv")] == [0, 2, 4]
    row["learner_steps"] = 99
    factory.close()
    factory.close()
    logger.write({"learner_steps": 6})
    assert [row["learner_steps"] for row in tables.read(tmp_path / "learner.csv")] == [0, 2, 4, 5]
    assert [step for step, *_ in events_in(tmp_path / "events" / "learner")] == [0, 2, 4, 5]


def test_a_last_row_that_was_written_already_is_not_written_again(
    tmp_path: pathlib.Path, clock: list[float]
) -> None:
    factory = LoggerFactory(tmp_path)
    factory("learner", "learner_steps").write({"learner_steps": 3})
    factory.close()
    assert tables.read(tmp_path / "learner.csv") == [{"learner_steps": 3.0}]
    # A logger that got no row leaves no table.
    LoggerFactory(tmp_path)("actor", "actor_steps").close()
    assert not (tmp_path / "actor.csv").exists()

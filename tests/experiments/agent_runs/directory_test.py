"""Tests of what a run of one agent leaves on disk."""

import dataclasses
import json
import pathlib

import pytest

from acme_psro.run_directory import RunDirectoryError
from experiments.agent_runs import directory, tables
from experiments.agent_runs.config import AgentRunConfig

CONFIG = AgentRunConfig("crossq", "openspiel:kuhn_poker", 1000)


@pytest.fixture
def begun(tmp_path: pathlib.Path) -> pathlib.Path:
    """A run's directory, with a checkpoint."""
    directory.begin(tmp_path / "run", CONFIG)
    (tmp_path / "run" / "checkpoints" / "500").mkdir(parents=True)
    return tmp_path / "run"


def refused(place: pathlib.Path, config: AgentRunConfig, resume: bool) -> str:
    with pytest.raises(RunDirectoryError) as caught:
        directory.check(place, config, resume)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_new_directory_is_checked_without_being_made(tmp_path: pathlib.Path) -> None:
    directory.check(tmp_path / "run", CONFIG, resume=False)
    assert not (tmp_path / "run").exists()


def test_the_configuration_is_read_back(begun: pathlib.Path) -> None:
    assert AgentRunConfig.from_json(json.loads((begun / "config.json").read_text())) == CONFIG


@pytest.mark.parametrize(
    "change",
    [
        {"actor_steps": 2000},
        {"checkpoint_seconds": 1.0},
        {"distributed": True, "num_actors": 3, "lp_launch_type": "local_mt"},
        {"evaluate_every": 5, "evaluation_episodes": 6},
        {"replay": "reverb"},
    ],
)
def test_a_run_goes_on_with_other_means_and_further(begun: pathlib.Path, change: dict) -> None:
    directory.check(begun, dataclasses.replace(CONFIG, **change), resume=True)


@pytest.mark.parametrize(
    "change",
    [
        {"environment": "openspiel:leduc_poker"},
        {"seed": 1},
        {"player": 1},
        {"opponent": "runs/leduc"},
        {"preset": "paper"},
        {"agent_settings": {"learning_rate": 0.1}},
        {"replay_settings": {"batch_size": 4}},
    ],
)
@pytest.mark.parametrize("resume", [True, False])
def test_another_run_is_refused(begun: pathlib.Path, change: dict, resume: bool) -> None:
    message = refused(begun, dataclasses.replace(CONFIG, **change), resume)
    assert "another configuration" in message
    assert next(iter(change)) in message


def test_the_same_run_needs_resume_once_there_is_a_checkpoint(begun: pathlib.Path) -> None:
    assert "--resume" in refused(begun, CONFIG, resume=False)
    directory.check(begun, CONFIG, resume=True)
    (begun / "checkpoints" / "500").rename(begun / "checkpoints" / "500.orbax-checkpoint-tmp-1")
    directory.check(begun, CONFIG, resume=False)


def test_resume_where_there_is_nothing_is_refused(tmp_path: pathlib.Path) -> None:
    assert "no run to resume" in refused(tmp_path / "run", CONFIG, resume=True)
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_without_a_configuration_are_left_alone(begun: pathlib.Path) -> None:
    (begun / "config.json").unlink()
    for resume in (False, True):
        assert "no config.json" in refused(begun, CONFIG, resume)


def test_beginning_again_forgets_how_it_ended(begun: pathlib.Path) -> None:
    directory.write_finished(begun, {"actor_steps": 1000.0})
    directory.write_failure(begun, ValueError("no"))
    directory.begin(begun, CONFIG)
    assert directory.read_finished(begun, CONFIG) is None
    assert directory.read_failure(begun) is None


def test_the_first_failure_is_the_one_that_is_told(tmp_path: pathlib.Path) -> None:
    assert directory.read_failure(tmp_path) is None
    directory.write_failure(tmp_path, ZeroDivisionError("first\n  of two"))
    directory.write_failure(tmp_path, ValueError("second"))
    expected = {"kind": "ZeroDivisionError", "message": "first of two"}
    assert directory.read_failure(tmp_path) == expected


def test_finished_is_what_made_all_the_steps_that_are_asked_for(tmp_path: pathlib.Path) -> None:
    assert directory.read_finished(tmp_path, CONFIG) is None
    counts = {"actor_steps": 1003.0, "learner_steps": 7.0}
    directory.write_finished(tmp_path, counts)
    assert directory.read_finished(tmp_path, CONFIG) == counts
    assert directory.read_finished(tmp_path, dataclasses.replace(CONFIG, actor_steps=1004)) is None


def test_evaluated_is_what_has_a_row_at_the_end(tmp_path: pathlib.Path) -> None:
    assert not directory.is_evaluated(tmp_path, CONFIG)
    table = tables.Table(tmp_path / "evaluation.csv", "actor_steps")
    for steps, evaluated in ((999.0, False), (1000.0, True)):
        table.write({"actor_steps": steps})
        assert directory.is_evaluated(tmp_path, CONFIG) == evaluated


def test_tables_are_rewound_to_the_checkpoint(tmp_path: pathlib.Path) -> None:
    for name in ("learner", "evaluation"):
        table = tables.Table(tmp_path / f"{name}.csv", "actor_steps")
        for steps in (100, 200, 300):
            table.write({"actor_steps": float(steps)})
    directory.rewind(tmp_path, 200)
    for name in ("learner", "evaluation"):
        assert [row["actor_steps"] for row in tables.read(tmp_path / f"{name}.csv")] == [100, 200]

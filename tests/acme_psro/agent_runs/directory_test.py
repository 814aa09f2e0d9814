"""Tests of the files that a run of one agent writes."""

import dataclasses
import json
import os
import pathlib

import pytest

from acme_psro.agent_runs import directory
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.plateau import Plateau
from acme_psro.storage.run_config import RunDirectoryError
from acme_psro.system import tables

PLATEAU = Plateau(2, 0.1)
CONFIG = AgentRunConfig("crossq", "openspiel:kuhn_poker", 1000)
PATIENT = dataclasses.replace(CONFIG, plateau_patience=2, plateau_min_improvement=0.1)


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
        {"distributed": True, "replay_with_learner": False},
        {"evaluate_every": 5, "evaluation_episodes": 6},
        {"replay": "reverb"},
        {"games_per_actor": 1},
        {"plateau_patience": 3, "plateau_min_improvement": 0.1},
        {"learner_devices": "1"},
        {"distributed": True, "lp_launch_type": "vertex_ai", "learner_accelerator": "V100"},
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
    for _ in range(2):
        directory.write_ending(begun, {"actor_steps": 1000.0})
        directory.finish(begun)
    directory.write_ending(begun, {"actor_steps": 1000.0})
    directory.write_failure(begun, ValueError("no"))
    directory.begin(begun, CONFIG)
    assert directory.read_finished(begun, CONFIG) is None
    assert directory.read_failure(begun) is None
    assert not directory.is_ending(begun)


def test_the_first_failure_is_the_one_that_is_told(tmp_path: pathlib.Path) -> None:
    assert directory.read_failure(tmp_path) is None
    directory.write_failure(tmp_path, ZeroDivisionError("first\n  of two"))
    directory.write_failure(tmp_path, ValueError("second"))
    assert directory.read_failure(tmp_path) == ("ZeroDivisionError", "first of two", True)


class DivergedError(RuntimeError):
    pass


@pytest.mark.parametrize(
    ("error", "is_final"),
    [
        (ValueError("no such game"), True),
        (KeyError("mistaken"), True),
        (NotImplementedError(), True),
        (DivergedError("at step 5"), True),
        # Errors of a process that has lost its connection to another one.
        (RuntimeError("a process of the program ended unexpectedly"), False),
        (ConnectionResetError(), False),
        (MemoryError(), False),
    ],
)
def test_mistakes_are_final_and_losses_are_not(
    error: Exception, is_final: bool, tmp_path: pathlib.Path
) -> None:
    directory.write_failure(tmp_path, error)
    failure = directory.read_failure(tmp_path)
    assert failure is not None
    assert failure.is_final == is_final


def test_finished_is_what_made_all_the_steps_that_are_asked_for(tmp_path: pathlib.Path) -> None:
    assert directory.read_finished(tmp_path, CONFIG) is None
    counts = {"actor_steps": 1003.0, "learner_steps": 7.0}
    directory.write_ending(tmp_path, counts)
    assert directory.read_finished(tmp_path, CONFIG) is None
    directory.finish(tmp_path)
    assert directory.read_finished(tmp_path, CONFIG) == directory.Finished(counts, "budget")
    assert directory.read_finished(tmp_path, dataclasses.replace(CONFIG, actor_steps=1004)) is None


def test_a_program_that_was_stopped_has_not_finished(tmp_path: pathlib.Path) -> None:
    directory.finish(tmp_path)
    assert directory.read_finished(tmp_path, CONFIG) is None
    assert list(tmp_path.iterdir()) == []


def test_finished_is_what_reached_the_configured_plateau(tmp_path: pathlib.Path) -> None:
    counts = {"actor_steps": 300.0}
    directory.write_ending(tmp_path, counts, PLATEAU)
    directory.finish(tmp_path)
    assert directory.read_finished(tmp_path, PATIENT) == directory.Finished(counts, "plateau")
    # The run continues with more patience, or without a plateau.
    for other in (
        CONFIG,
        dataclasses.replace(PATIENT, plateau_patience=3),
        dataclasses.replace(PATIENT, plateau_min_improvement=0.0),
    ):
        assert directory.read_finished(tmp_path, other) is None
    enough = dataclasses.replace(CONFIG, actor_steps=300)
    assert directory.read_finished(tmp_path, enough) == directory.Finished(counts, "plateau")


def write_evaluations(place: pathlib.Path, *returns: float, **columns: float) -> None:
    """Writes evaluations with these returns at 100, 200, .. steps."""
    table = tables.Table(place / "evaluation.csv", "actor_steps")
    for number, each in enumerate(returns, start=1):
        row = {"actor_steps": 100.0 * number, "episode_return": each, "episode_return_stderr": 0.01}
        table.write(row | columns)


def test_evaluations_tell_a_plateau(tmp_path: pathlib.Path) -> None:
    assert not directory.is_at_plateau(tmp_path, PLATEAU, 1000)
    write_evaluations(tmp_path, 0.0, 1.0, 1.0, 1.0)
    assert not directory.is_at_plateau(tmp_path, PLATEAU, 1000)
    write_evaluations(tmp_path, 1.0)
    assert directory.is_at_plateau(tmp_path, PLATEAU, 1000)


def test_a_run_ends_later_than_its_last_evaluation_on_the_way(tmp_path: pathlib.Path) -> None:
    write_evaluations(tmp_path, 1.0, 1.0, 1.0, 1.0)
    assert not directory.is_at_plateau(tmp_path, PLATEAU, 400)
    assert directory.is_at_plateau(tmp_path, PLATEAU, 401)
    # In one process the last one on the way is the last of all.
    assert directory.is_at_plateau(tmp_path, PLATEAU)


def test_exact_values_decide_where_there_are_any(tmp_path: pathlib.Path) -> None:
    write_evaluations(tmp_path, 0.0, 2.0, 4.0, 6.0, exact_value=0.5)
    assert directory.is_at_plateau(tmp_path, PLATEAU, 1000)


def test_evaluated_is_what_has_a_row_at_the_end(tmp_path: pathlib.Path) -> None:
    finished = directory.Finished({"actor_steps": 1000.0}, "budget")
    assert directory.evaluated_at(tmp_path) == -1
    assert not directory.is_evaluated(tmp_path, finished)
    table = tables.Table(tmp_path / "evaluation.csv", "actor_steps")
    for steps, evaluated in ((999.0, False), (1000.0, True)):
        table.write({"actor_steps": steps})
        assert directory.evaluated_at(tmp_path) == steps
        assert directory.is_evaluated(tmp_path, finished) == evaluated


def test_the_newest_checkpoint_is_told_by_its_steps(begun: pathlib.Path) -> None:
    for name in ("1500", "70", "2000.orbax-checkpoint-tmp-1"):
        (begun / "checkpoints" / name).mkdir()
    assert directory.newest_checkpoint(begun) == 1500
    assert directory.newest_checkpoint(begun.parent) is None


def test_signs_of_life_change_with_what_learner_and_actors_write(tmp_path: pathlib.Path) -> None:
    config = dataclasses.replace(CONFIG, num_actors=2)
    assert directory.signs_of_life(tmp_path, config) == {}
    # An earlier launch had a third actor, which is not expected to write now.
    names = ("learner", "actor", "actor_1", "actor_2", "evaluation")
    for name in names:
        (tmp_path / f"{name}.csv").write_text("a\n")
    before = directory.signs_of_life(tmp_path, config)
    assert set(before) == {"learner", "actor", "actor_1"}
    assert directory.signs_of_life(tmp_path, config) == before
    os.utime(tmp_path / "actor_1.csv", ns=(0, 0))
    after = directory.signs_of_life(tmp_path, config)
    assert {name for name in before if after[name] != before[name]} == {"actor_1"}


def test_a_program_that_stops_itself_gives_no_more_signs_of_life(tmp_path: pathlib.Path) -> None:
    (tmp_path / "learner.csv").write_text("a\n")
    directory.write_ending(tmp_path, {"actor_steps": 1000.0})
    before = directory.signs_of_life(tmp_path, CONFIG)
    os.utime(tmp_path / "learner.csv", ns=(0, 0))
    assert directory.signs_of_life(tmp_path, CONFIG) == before != {}


def test_tables_are_rewound_to_the_checkpoint(tmp_path: pathlib.Path) -> None:
    for name in ("learner", "evaluation"):
        table = tables.Table(tmp_path / f"{name}.csv", "actor_steps")
        for steps in (100, 200, 300):
            table.write({"actor_steps": float(steps)})
    # Tables of people and other programs.
    others = {"notes.csv": "seen,by\nme,you\n", "evaluation copy.csv": "actor_steps\n300\n"}
    for name, text in others.items():
        (tmp_path / name).write_text(text)
    directory.rewind(tmp_path, 200)
    assert {name: (tmp_path / name).read_text() for name in others} == others
    for name in ("learner", "evaluation"):
        assert [row["actor_steps"] for row in tables.read(tmp_path / f"{name}.csv")] == [100, 200]

"""Tests of training in one process: equal results for equal seeds, and resumed runs."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable

import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
import numpy as np

import acme_psro.storage.run_directory
from acme_psro.agent_runs import launch
from acme_psro.agent_runs.checkpoints import Saved
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.progress import Progress
from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.policies.tabular import mixture_table
from acme_psro.system import tables

pytestmark = pytest.mark.usefixtures("quick_module")

MakeConfig = Callable[..., AgentRunConfig]
Run = Callable[[AgentRunConfig, pathlib.Path], int]
CheckpointOf = Callable[[pathlib.Path, AgentRunConfig], Saved]
OwnValue = Callable[[pathlib.Path, AgentRunConfig, np.ndarray], float]
KUHN = "openspiel:kuhn_poker"
SECONDS = ("training_seconds", "evaluation_seconds")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small: MakeConfig, run: Run) -> pathlib.Path:
    """A run in Kuhn poker from beginning to end."""
    directory = tmp_path_factory.mktemp("runs") / "kuhn"
    assert run(small(), directory) == 0
    return directory


def leaves(saved: Saved) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(saved.state)]


def rows_of(directory: pathlib.Path) -> list[tables.Row]:
    return tables.read(directory / "evaluation.csv")


def untimed(directory: pathlib.Path) -> list[tables.Row]:
    return [{name: value for name, value in row.items() if name not in SECONDS} for row in rows_of(directory)]


def assert_sane(directory: pathlib.Path, marks: list[int]) -> None:
    """There is one row for each due evaluation, after the episode that reached it. No count decreases."""
    rows = rows_of(directory)
    # An episode of Kuhn poker has two decisions at most.
    assert [row["actor_steps"] - mark in (0, 1) for row, mark in zip(rows, marks, strict=True)] == [
        True
    ] * len(marks)
    for name in ("actor_steps", "gradient_steps", *SECONDS):
        values = [row[name] for row in rows]
        assert values == sorted(values)
    assert all(np.isfinite(value) for row in rows for value in row.values())


def test_evaluations_are_where_they_are_due_and_all_columns_are_there(finished: pathlib.Path) -> None:
    assert_sane(finished, [40, 80, 120])
    assert list(rows_of(finished)[0]) == [
        "actor_steps",
        "best_response_value",
        "episode_length",
        "episode_return",
        "episode_return_stderr",
        "episodes",
        "evaluation_seconds",
        "exact_value",
        "gradient_steps",
        "training_seconds",
    ]


def test_the_last_exact_value_is_that_of_the_stored_policy(
    finished: pathlib.Path, small: MakeConfig, own_value: OwnValue
) -> None:
    tree = compile_game("kuhn_poker", cache=False)
    last = rows_of(finished)[-1]
    assert last["exact_value"] == pytest.approx(own_value(finished, small(), tree.uniform_policy()), abs=1e-6)
    # Against an opponent who calls and bets by the toss of a coin.
    plan = traverse.realisation_plan(tree, tree.uniform_policy())
    assert last["best_response_value"] == traverse.best_response(tree, plan, 0).value == pytest.approx(0.5)
    assert last["exact_value"] < 0.5


def test_the_mixture_of_a_run_is_learned_against(
    kuhn_mixture: pathlib.Path, small: MakeConfig, run: Run, tmp_path: pathlib.Path, own_value: OwnValue
) -> None:
    config = small(player=1, opponent=str(kuhn_mixture), actor_steps=80)
    assert run(config, tmp_path / "run") == 0
    assert_sane(tmp_path / "run", [40, 80])
    read = acme_psro.storage.run_directory.read(kuhn_mixture)
    mixture = mixture_table(read.tree, read.record.state.populations, read.record.state.meta_strategy)
    last = rows_of(tmp_path / "run")[-1]
    assert last["exact_value"] == pytest.approx(own_value(tmp_path / "run", config, mixture), abs=1e-6)
    best = traverse.best_response(read.tree, traverse.realisation_plan(read.tree, mixture), 1).value
    assert last["exact_value"] <= last["best_response_value"] == pytest.approx(best)


def test_gradient_steps_keep_to_the_ratio_that_was_asked_for(
    finished: pathlib.Path, small: MakeConfig, checkpoint_of: CheckpointOf
) -> None:
    """One gradient step per decision, in groups of four, after the 64 decisions that a group needs."""
    saved = checkpoint_of(finished, small())
    steps = saved.counts["actor_steps"]
    assert saved.counts["learner_gradient_steps"] == 4 * saved.counts["learner_steps"]
    assert abs(saved.counts["learner_gradient_steps"] - (steps - 64)) <= 4
    assert saved.state.step == saved.counts["learner_gradient_steps"]


def test_the_last_rows_of_the_tables_are_those_of_the_end(
    finished: pathlib.Path, small: MakeConfig, checkpoint_of: CheckpointOf
) -> None:
    """Although rows are thinned out, and the whole run takes less than the time between two."""
    counts = checkpoint_of(finished, small()).counts
    learner, actor = (tables.read(finished / f"{name}.csv") for name in ("learner", "actor"))
    assert [row["learner_steps"] for row in learner] == [1, counts["learner_steps"]]
    assert [row["actor_steps"] for row in learner] == sorted(row["actor_steps"] for row in learner)
    assert (actor[0]["actor_episodes"], actor[-1]["actor_steps"]) == (1, counts["actor_steps"])


def test_a_run_tells_what_it_does(
    small: MakeConfig, run: Run, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "run"
    assert run(small(), directory) == 0
    start, first, compiling, *evaluations, curve = capsys.readouterr().out.splitlines()
    assert start == f"crossq in {KUHN}: 120 steps, learner on cpu, directory {directory}"
    assert first.split()[:2] in (["40", "steps"], ["41", "steps"])
    assert compiling == "compiling the learner's update"
    assert [line.split()[1] for line in evaluations] == ["steps"] * 2
    assert curve == f"curve: {directory / 'evaluation.png'}"


def test_a_learner_tells_how_many_devices_it_uses(tmp_path: pathlib.Path, small: MakeConfig) -> None:
    """In a process of its own, because JAX fixes the number of devices when it starts."""
    code = (
        "import json, pathlib, sys, time\n"
        "from acme_psro.agent_runs import launch\n"
        "from acme_psro.agent_runs.config import AgentRunConfig\n"
        "config = AgentRunConfig.from_json(json.loads(sys.argv[1]))\n"
        "sys.exit(launch.run(config, pathlib.Path(sys.argv[2]), time.monotonic()))"
    )
    config = small(actor_steps=80, evaluate_every=80, evaluation_episodes=2)
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(config.to_json()), str(tmp_path / "run")],
        env=os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=6", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    start, split, *_ = done.stdout.splitlines()
    assert "learner on 4 x cpu" in start
    assert split == (
        "the learner uses 4 of 6 devices, the most that can share a batch of 16 evenly; "
        "a multiple of 6 would use all."
    )
    assert tables.read(tmp_path / "run" / "learner.csv")[-1]["learner_gradient_steps"] > 0


def test_the_directory_holds_what_users_are_promised(finished: pathlib.Path) -> None:
    assert {path.name for path in finished.iterdir()} == {
        "actor.csv",
        "checkpoints",
        "config.json",
        "policy.npz",
        "evaluation.csv",
        "evaluation.png",
        "events",
        "learner.csv",
    }
    assert {path.name for path in (finished / "events").iterdir()} == {"actor", "evaluation", "learner"}
    assert not [path for path in finished.rglob("*") if path.suffix in (".pkl", ".pickle", ".tmp")]


def test_the_same_seed_gives_the_same_run_bit_for_bit(
    finished: pathlib.Path,
    small: MakeConfig,
    run: Run,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    checkpoint_of: CheckpointOf,
) -> None:
    (tmp_path / "temporary").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
        assert run(small(), tmp_path / "again") == 0
    # Nor does it leave anything behind.
    assert list((tmp_path / "temporary").iterdir()) == []
    assert [repr(row) for row in untimed(tmp_path / "again")] == [repr(row) for row in untimed(finished)]
    once, again = checkpoint_of(finished, small()), checkpoint_of(tmp_path / "again", small())
    for one, other in zip(leaves(once), leaves(again), strict=True):
        assert (one.dtype, one.tobytes()) == (other.dtype, other.tobytes())


def test_another_seed_gives_another_run(
    finished: pathlib.Path, small: MakeConfig, run: Run, tmp_path: pathlib.Path, checkpoint_of: CheckpointOf
) -> None:
    other = small(seed=1, actor_steps=40)
    assert run(other, tmp_path / "other") == 0
    assert untimed(tmp_path / "other")[0] != untimed(finished)[0]
    key, params = (leaves(checkpoint_of(tmp_path / "other", other)), leaves(checkpoint_of(finished, small())))
    assert not np.array_equal(key[0], params[0])


def test_a_finished_run_is_left_as_it_is(
    finished: pathlib.Path, small: MakeConfig, run: Run, tmp_path: pathlib.Path
) -> None:
    copy = shutil.copytree(finished, tmp_path / "run")
    assert run(small(), copy) == 0
    for name in ("evaluation.csv", "actor.csv", "learner.csv"):
        assert (copy / name).read_bytes() == (finished / name).read_bytes()
    assert sorted(path.name for path in (copy / "checkpoints").iterdir()) == sorted(
        path.name for path in (finished / "checkpoints").iterdir()
    )


def test_a_run_goes_on_for_more_steps(
    finished: pathlib.Path,
    small: MakeConfig,
    run: Run,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    checkpoint_of: CheckpointOf,
) -> None:
    copy = shutil.copytree(finished, tmp_path / "run")
    assert run(small(actor_steps=240), copy) == 0
    # Servers of earlier tests may print lines of their own when they are collected.
    resumed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("resuming")]
    assert resumed in (["resuming from 120 steps"], ["resuming from 121 steps"])
    assert rows_of(copy)[:3] == rows_of(finished)
    assert_sane(copy, [40, 80, 120, 160, 200, 240])
    before, after = checkpoint_of(finished, small()), checkpoint_of(copy, small())
    # It continued to learn when there was new experience.
    assert after.state.step == after.counts["learner_gradient_steps"] > before.state.step
    assert after.counts["learner_gradient_steps"] > rows_of(finished)[-1]["gradient_steps"]


# The required improvement is out of reach, so a run ends as soon as there are enough evaluations.
PLATEAU = {"plateau_patience": 2, "plateau_min_improvement": 9.0}


def test_a_run_ends_at_a_plateau(
    small: MakeConfig,
    run: Run,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    checkpoint_of: CheckpointOf,
) -> None:
    config = small(actor_steps=400, **PLATEAU)
    assert run(config, tmp_path / "run") == 0
    assert_sane(tmp_path / "run", [40, 80, 120, 160])
    *_, ended, curve = capsys.readouterr().out.splitlines()
    assert ended in ("ended at a plateau after 160 steps", "ended at a plateau after 161 steps")
    assert curve.startswith("curve: ")
    steps = rows_of(tmp_path / "run")[-1]["actor_steps"]
    assert checkpoint_of(tmp_path / "run", config).counts["actor_steps"] == steps
    # The run has ended, unless more patience is requested.
    assert run(config, tmp_path / "run") == 0
    assert_sane(tmp_path / "run", [40, 80, 120, 160])
    assert run(dataclasses.replace(config, plateau_patience=3), tmp_path / "run") == 0
    assert_sane(tmp_path / "run", [40, 80, 120, 160, 200, 240])


def test_a_run_that_ends_at_both_has_spent_its_budget(
    small: MakeConfig, run: Run, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(small(actor_steps=160, **PLATEAU), tmp_path / "run") == 0
    assert_sane(tmp_path / "run", [40, 80, 120, 160])
    assert "plateau" not in capsys.readouterr().out


def test_a_plateau_in_what_was_evaluated_before_ends_a_run_that_is_gone_on_with(
    small: MakeConfig,
    run: Run,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last row is at the end of the run, between two due evaluations."""
    config = small(actor_steps=400)
    with monkeypatch.context() as patch:
        patch.setattr(launch, "Progress", lambda actor_steps: Interrupted(actor_steps, 180))
        assert run(config, tmp_path / "run") == 1
    assert_sane(tmp_path / "run", [40, 80, 120, 160])
    assert run(dataclasses.replace(config, **PLATEAU), tmp_path / "run") == 0
    assert_sane(tmp_path / "run", [40, 80, 120, 160, 180])


class Interrupted(Progress):
    """Stops as Ctrl-C would, after the episode that reached this number of steps."""

    def __init__(self, actor_steps: int, at: int) -> None:
        super().__init__(actor_steps)
        self._at = at

    def advance(self, actor_steps: int, episode_return: float) -> None:
        if actor_steps >= self._at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", [100, 120])
def test_a_stopped_run_says_so_and_goes_on_from_there(
    at: int,
    small: MakeConfig,
    run: Run,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    checkpoint_of: CheckpointOf,
) -> None:
    """At 120 steps, the last evaluation has not been made yet."""
    with monkeypatch.context() as patch:
        patch.setattr(launch, "Progress", lambda actor_steps: Interrupted(actor_steps, at))
        assert run(small(), tmp_path / "run") == 1
    said = capsys.readouterr()
    *_, curve, stopped = said.out.splitlines()
    assert stopped == "stopped; --resume continues from the last checkpoint"
    assert said.err == ""
    assert_sane(tmp_path / "run", [40, 80])
    saved = checkpoint_of(tmp_path / "run", small())
    assert saved.counts["actor_steps"] - at in (0, 1)
    # What has been learned so far can be looked at.
    assert curve == f"curve: {tmp_path / 'run' / 'evaluation.png'}"
    assert (tmp_path / "run" / "evaluation.png").exists()
    assert tables.read(tmp_path / "run" / "learner.csv")[-1]["learner_steps"] == saved.counts["learner_steps"]
    assert run(small(), tmp_path / "run") == 0
    assert_sane(tmp_path / "run", [40, 80, 120])


def test_a_checkpoint_that_was_cut_short_costs_what_came_after_the_one_before(
    finished: pathlib.Path, small: MakeConfig, run: Run, tmp_path: pathlib.Path
) -> None:
    copy = shutil.copytree(finished, tmp_path / "run")
    newest = max((copy / "checkpoints").iterdir(), key=lambda path: int(path.name))
    about = newest / "about" / "metadata"
    about.write_bytes(about.read_bytes()[:-20])
    assert run(small(), copy) == 0
    assert_sane(copy, [40, 80, 120])
    assert rows_of(copy)[:2] == rows_of(finished)[:2]
    assert rows_of(copy)[2] != rows_of(finished)[2]


def test_a_checkpoint_of_other_networks_is_refused_in_one_line(
    finished: pathlib.Path,
    small: MakeConfig,
    run: Run,
    tmp_path: pathlib.Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Changes `config.json` as well, because the launcher refuses a changed configuration."""
    copy = shutil.copytree(finished, tmp_path / "run")
    before = sorted(path.name for path in (copy / "checkpoints").iterdir())
    assert run(small(agent_settings={"critic_hidden_sizes": [9]}), copy) == 2
    said = capfd.readouterr()
    assert re.match(r"error: checkpoint 12[01] is of another agent or of other networks; .*\n$", said.err)
    assert sorted(path.name for path in (copy / "checkpoints").iterdir()) == before


def test_learning_that_diverges_is_one_line_and_leaves_a_finite_checkpoint(
    small: MakeConfig,
    run: Run,
    tmp_path: pathlib.Path,
    capfd: pytest.CaptureFixture[str],
    checkpoint_of: CheckpointOf,
) -> None:
    config = small(agent_settings={"learning_rate": 1e30, "final_learning_rate": 1e30})
    assert run(config, tmp_path / "run") == 1
    said = capfd.readouterr()
    assert said.err.startswith("error: learner step ")
    assert "diverged" in said.err
    assert said.err.count("\n") == 1
    saved = checkpoint_of(tmp_path / "run", config)
    assert saved.counts["actor_steps"] > 40
    assert all(np.isfinite(leaf).all() for leaf in leaves(saved))


def test_an_environment_that_breaks_is_one_line_and_leaves_a_finite_checkpoint(
    small: MakeConfig,
    run: Run,
    broken_package: str,
    tmp_path: pathlib.Path,
    capfd: pytest.CaptureFixture[str],
    checkpoint_of: CheckpointOf,
) -> None:
    config = small(
        environment=broken_package,
        actor_steps=400,
        evaluate_every=400,
        agent_settings={"learn_temperature": False},
    )
    assert run(config, tmp_path / "run") == 1
    message = f"{broken_package}: reward is NaN or infinite at step 5 of episode 38."
    assert capfd.readouterr().err == f"error: {message}\n"
    saved = checkpoint_of(tmp_path / "run", config)
    assert saved.counts["actor_steps"] == 37 * 8
    assert saved.state.step > 0
    assert all(np.isfinite(leaf).all() for leaf in leaves(saved))


def test_bounded_continuous_actions_are_learned_with(
    small: MakeConfig, run: Run, tmp_path: pathlib.Path
) -> None:
    """An episode has 1000 decisions, of which the last 120 are learned from."""
    config = small(
        environment="dm_control:cartpole:balance",
        actor_steps=1,
        evaluation_episodes=1,
        replay_settings={"min_replay_size": 880, "samples_per_insert": 8.0},
    )
    assert run(config, tmp_path / "run") == 0
    (row,) = rows_of(tmp_path / "run")
    assert (row["actor_steps"], row["episode_length"], row["episodes"]) == (1000, 1000, 1)
    assert np.isnan(row["episode_return_stderr"])
    assert "exact_value" not in row
    # Balanced for a while, never for the whole thousand.
    assert 0 < row["episode_return"] < 1000
    assert abs(row["gradient_steps"] - 60) <= 4


def test_a_run_with_reverb_goes_on_as_well(small: MakeConfig, run: Run, tmp_path: pathlib.Path) -> None:
    config = small(replay="reverb", actor_steps=80)
    assert run(config, tmp_path / "run") == 0
    assert_sane(tmp_path / "run", [40, 80])
    first = rows_of(tmp_path / "run")
    assert run(dataclasses.replace(config, actor_steps=120), tmp_path / "run") == 0
    assert rows_of(tmp_path / "run")[:2] == first
    assert_sane(tmp_path / "run", [40, 80, 120])

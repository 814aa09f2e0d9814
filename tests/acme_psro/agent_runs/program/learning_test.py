"""Tests of the learner's worker: its steps, its checkpoints and the end of a program."""

import pathlib
import sys
import time
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import launchpad as lp
import numpy as np
import psutil
from acme.utils import counting

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.checkpoints import Saved, open_checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.program import learning, snapshots, starts
from acme_psro.policies import stored
from acme_psro.system import tables
from tests.acme_psro.agent_runs.program.fake_nodes import counter_at, stop_after

CONFIG = AgentRunConfig("crossq", "openspiel:kuhn_poker", 1000, evaluate_every=100, distributed=True)


class Learner:
    """Fake learner that counts its steps and fails at one of them."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.steps = 0
        self._fails_at = fails_at

    def step(self) -> None:
        time.sleep(0.01)
        if self.steps == self._fails_at:
            raise RuntimeError("diverged")
        self.steps += 1

    def save(self) -> Any:
        return {"steps": np.int32(self.steps)}

    def restore(self, state: Any) -> None:
        self.steps = int(state["steps"])

    def get_variables(self, names: list[str]) -> list[Any]:
        return [self.steps for _ in names]


def saved_in(directory: pathlib.Path) -> Saved:
    with open_checkpoints(directory / "checkpoints") as checkpoints:
        saved = checkpoints.restore(Learner().save())
    assert saved is not None
    return saved


def test_the_learner_is_saved_when_the_program_stops(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lp, "wait_for_stop", stop_after(3))
    learner = Learner()
    learning.LearnerRunner(learner, counter_at(actor_steps=70), CONFIG, tmp_path).run()
    saved = saved_in(tmp_path)
    assert saved.state["steps"] == learner.steps > 0
    assert saved.counts["actor_steps"] == 70
    assert 0 < saved.counts["training_seconds"] < 60
    assert run_directory.read_failure(tmp_path) is None


def test_the_learner_goes_on_from_what_was_saved(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(Saved({"steps": np.int32(1000)}, {"actor_steps": 50.0, "training_seconds": 60.0}))
    monkeypatch.setattr(lp, "wait_for_stop", stop_after(2))
    learner = Learner()
    runner = learning.LearnerRunner(
        learner, counter_at(actor_steps=80, training_seconds=60), CONFIG, tmp_path
    )
    assert runner.get_variables(["policy"]) == [1000]
    runner.run()
    saved = saved_in(tmp_path)
    assert saved.state["steps"] > 1000
    assert saved.counts["actor_steps"] == 80
    assert 60 < saved.counts["training_seconds"] < 120


def test_a_learner_that_fails_is_saved_and_says_why(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lp, "wait_for_stop", stop_after(1000))
    runner = learning.LearnerRunner(Learner(fails_at=5), counter_at(actor_steps=9), CONFIG, tmp_path)
    with pytest.raises(RuntimeError, match="diverged"):
        runner.run()
    assert saved_in(tmp_path).state["steps"] == 5
    assert run_directory.read_failure(tmp_path) == ("RuntimeError", "diverged", False)


def test_checkpoints_are_made_at_the_start_and_at_intervals(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = counting.Counter()
    found: list[list[str]] = []

    def wait(seconds: float) -> bool:
        counter.increment(actor_steps=10)
        found.append(sorted(path.name for path in (tmp_path / "checkpoints").iterdir()))
        return len(found) > 3

    monkeypatch.setattr(lp, "wait_for_stop", wait)
    config = AgentRunConfig(**CONFIG.to_json() | {"checkpoint_seconds": 0.0})
    learning.LearnerRunner(Learner(), counter, config, tmp_path).run()
    assert found == [["0"], ["0", "10"], ["10", "20"], ["20", "30"]]


def test_snapshots_are_taken_while_the_program_learns(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = counting.Counter()
    monkeypatch.setattr(learning.export, "to_stored", store_steps)

    def wait(seconds: float) -> bool:
        # 50 steps before the first gradient step, and 150 between any two looks.
        steps = counter.get_counts().get("actor_steps", 0)
        counter.increment(actor_steps=150 if steps else 50, learner_gradient_steps=4 if steps else 0)
        time.sleep(0.05)
        return steps > 1200

    monkeypatch.setattr(lp, "wait_for_stop", wait)
    config = AgentRunConfig(**CONFIG.to_json() | {"snapshots": 5})
    learning.LearnerRunner(Learner(), counter, config, tmp_path).run()
    found = snapshots.find(tmp_path)
    assert [path.name for path in found] == [f"policy_{steps:012d}.npz" for steps in (200, 500, 650, 800)]
    learned = [stored.read(path).about["steps"] for path in found]
    assert 0 < learned[0] < learned[1] < learned[2] < learned[3]


@pytest.mark.parametrize("changes", [{"snapshots": 0}, {"environment": "gymnasium:CartPole-v1"}])
def test_no_snapshots_are_taken_where_none_are_asked_for(
    changes: dict[str, Any], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lp, "wait_for_stop", stop_after(3))
    config = AgentRunConfig(**CONFIG.to_json() | {"snapshots": 5} | changes)
    counter = counter_at(actor_steps=500, learner_gradient_steps=8)
    learning.LearnerRunner(Learner(), counter, config, tmp_path).run()
    assert not (tmp_path / "snapshots").exists()


def store_steps(config: AgentRunConfig, variables: Any) -> stored.StoredPolicy:
    """Returns a policy that names the number of steps of the fake learner."""
    return stored.StoredPolicy(
        {"kind": "uniform", "game": "kuhn_poker()", "player": config.player, "steps": variables}, {}
    )


def test_the_learner_says_that_the_program_has_finished_once_it_is_saved(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lp, "wait_for_stop", stop_after(3))
    run_directory.begin(tmp_path, CONFIG)
    run_directory.write_ending(tmp_path, {"actor_steps": 1000.0})
    found: list[Any] = []
    finish = run_directory.finish

    def look(directory: pathlib.Path) -> None:
        found.append(saved_in(directory).counts["actor_steps"])
        finish(directory)

    monkeypatch.setattr(run_directory, "finish", look)
    policy = stored.StoredPolicy({"kind": "uniform", "game": "kuhn_poker()", "player": 0}, {})
    monkeypatch.setattr(learning.export, "export", lambda directory: policy)
    learning.LearnerRunner(Learner(), counter_at(actor_steps=1000), CONFIG, tmp_path).run()
    assert found == [1000]
    assert run_directory.read_finished(tmp_path, CONFIG) is not None
    assert stored.read(run_directory.policy_file(tmp_path)).about == policy.about


def test_a_learner_that_fails_at_the_end_has_not_finished(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lp, "wait_for_stop", stop_after(1000))
    run_directory.begin(tmp_path, CONFIG)
    run_directory.write_ending(tmp_path, {"actor_steps": 1000.0})
    with pytest.raises(RuntimeError, match="diverged"):
        learning.LearnerRunner(Learner(fails_at=0), counter_at(actor_steps=1000), CONFIG, tmp_path).run()
    assert run_directory.read_finished(tmp_path, CONFIG) is None


def test_starts_are_timed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times count from the start of the child, here of this process. The second launch is resumed."""
    monkeypatch.setenv("AGENT_RUN_CHILD_STARTED", "0")
    starts.begin()
    for steps in (70.0, 90.0):
        monkeypatch.setattr(lp, "wait_for_stop", stop_after(3))
        before = time.time()
        learning.LearnerRunner(Learner(), counter_at(actor_steps=steps), CONFIG, tmp_path).run()
        after = time.time()
        last = tables.read(tmp_path / "starts.csv")[-1]
        began = psutil.Process().create_time()
        assert last["learner_process_seconds"] == 0
        assert before - began <= last["learner_made_seconds"] < last["first_step_seconds"] <= after - began
    assert [row["actor_steps"] for row in tables.read(tmp_path / "starts.csv")] == [0, 70]

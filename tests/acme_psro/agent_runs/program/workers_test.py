"""Tests of what the nodes of a program run, one by one."""

import contextlib
import dataclasses
import itertools
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
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

from acme_psro.agent_runs import directory
from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.checkpoints import Saved, open_checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.plateau import Plateau
from acme_psro.agent_runs.program import starts, workers
from acme_psro.policies import stored
from acme_psro.system import tables

ROOT = pathlib.Path(__file__).resolve().parents[4]
PLATEAU = Plateau(2)
CONFIG = AgentRunConfig("crossq", "openspiel:kuhn_poker", 1000, evaluate_every=100, distributed=True)


class Learner:
    """Counts its steps, and fails at one of them."""

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


def stop_after(polls: int) -> Callable[[float], bool]:
    """Launchpad's `wait_for_stop`, which waits a moment instead."""
    count = itertools.count()

    def wait(seconds: float) -> bool:
        time.sleep(0.05)
        return next(count) >= polls

    return wait


def counter_at(**counts: float) -> counting.Counter:
    counter = counting.Counter()
    counter.increment(**counts)
    return counter


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
    workers.LearnerRunner(learner, counter_at(actor_steps=70), CONFIG, tmp_path).run()
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
    runner = workers.LearnerRunner(learner, counter_at(actor_steps=80, training_seconds=60), CONFIG, tmp_path)
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
    runner = workers.LearnerRunner(Learner(fails_at=5), counter_at(actor_steps=9), CONFIG, tmp_path)
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
    workers.LearnerRunner(Learner(), counter, config, tmp_path).run()
    assert found == [["0"], ["0", "10"], ["10", "20"], ["20", "30"]]


def test_the_program_stops_when_all_steps_are_made(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[float] = []
    counter = counting.Counter()

    def wait(seconds: float) -> bool:
        # The learner, once all is saved, and not before.
        if run_directory.is_ending(tmp_path):
            assert not stops
            run_directory.finish(tmp_path)
        else:
            counter.increment(actor_steps=400, learner_steps=3)
        return False

    monkeypatch.setattr(lp, "wait_for_stop", wait)
    monkeypatch.setattr(lp, "stop", lambda: stops.append(counter.get_counts()["actor_steps"]))
    workers.StepsLimiter(counter, 1000, tmp_path, PLATEAU).run()
    assert stops == [1200]
    finished = run_directory.read_finished(tmp_path, CONFIG)
    assert finished == ({"actor_steps": 1200, "learner_steps": 9}, "budget")


def test_the_program_stops_at_a_plateau_of_the_evaluations(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[float] = []
    counter = counting.Counter()
    table = tables.Table(tmp_path / "evaluation.csv", "actor_steps")

    def wait(seconds: float) -> bool:
        """100 steps, and an evaluation at the end of the first 60 of them."""
        if run_directory.is_ending(tmp_path):
            run_directory.finish(tmp_path)
            return False
        counter.increment(actor_steps=100)
        steps = counter.get_counts()["actor_steps"]
        row = {"actor_steps": steps - 40, "episode_return": min(steps, 300), "episode_return_stderr": 0.0}
        table.write(row)
        return False

    monkeypatch.setattr(lp, "wait_for_stop", wait)
    monkeypatch.setattr(lp, "stop", lambda: stops.append(counter.get_counts()["actor_steps"]))
    workers.StepsLimiter(counter, 1000, tmp_path, PLATEAU).run()
    # Of 100, 200, 300, 300, 300, 300 the last two are no better than the two before.
    assert stops == [600]
    finished = run_directory.read_finished(tmp_path, dataclasses.replace(CONFIG, plateau_patience=2))
    assert finished == ({"actor_steps": 600}, "plateau")


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

    monkeypatch.setattr(directory, "finish", look)
    policy = stored.StoredPolicy({"kind": "uniform", "game": "kuhn_poker()", "player": 0}, {})
    monkeypatch.setattr(workers.export, "export", lambda directory: policy)
    workers.LearnerRunner(Learner(), counter_at(actor_steps=1000), CONFIG, tmp_path).run()
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
        workers.LearnerRunner(Learner(fails_at=0), counter_at(actor_steps=1000), CONFIG, tmp_path).run()
    assert run_directory.read_finished(tmp_path, CONFIG) is None


def test_starts_are_timed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the child's first moment, here this process's; the second one goes on from a checkpoint."""
    monkeypatch.setenv("AGENT_RUN_CHILD_STARTED", "0")
    starts.begin()
    for steps in (70.0, 90.0):
        monkeypatch.setattr(lp, "wait_for_stop", stop_after(3))
        before = time.time()
        workers.LearnerRunner(Learner(), counter_at(actor_steps=steps), CONFIG, tmp_path).run()
        after = time.time()
        last = tables.read(tmp_path / "starts.csv")[-1]
        began = psutil.Process().create_time()
        assert last["learner_process_seconds"] == 0
        assert before - began <= last["learner_made_seconds"] < last["first_step_seconds"] <= after - began
    assert [row["actor_steps"] for row in tables.read(tmp_path / "starts.csv")] == [0, 70]


def test_a_program_that_is_stopped_is_not_finished(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lp, "wait_for_stop", lambda seconds: True)
    workers.StepsLimiter(counter_at(actor_steps=5000), 1000, tmp_path).run()
    assert not run_directory.is_ending(tmp_path)


@pytest.mark.parametrize(
    ("before", "steps", "evaluated"),
    [
        ([], [0, 50, 99, 100, 180, 199, 350, 360, 990, 1000, 1010], [100, 350, 990]),
        # Gone on with; 100 is done, and 200 was passed meanwhile.
        ([100.0], [130, 199, 210, 230], [210]),
        ([180.0], [180, 199, 200], [200]),
    ],
)
def test_evaluations_are_made_where_they_are_due(
    before: list[float],
    steps: list[int],
    evaluated: list[int],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once for each period that was passed, but for the last, which is made when the program has ended."""
    table = tables.Table(tmp_path / "evaluation.csv", "actor_steps")
    for each in before:
        table.write({"actor_steps": each, "episode_return": 0.0, "gradient_steps": 0.0})
    counter, coming = counting.Counter(), iter(steps)

    def wait(seconds: float) -> bool:
        now = next(coming, None)
        if now is None:
            return True
        counter.increment(actor_steps=now - counter.get_counts().get("actor_steps", 0))
        return False

    monkeypatch.setattr(lp, "wait_for_stop", wait)
    monkeypatch.setattr(workers.signals, "runtime_terminator", contextlib.nullcontext)
    workers.Evaluator(CONFIG, tmp_path, counter, lambda: lambda: {"episode_return": 0.5}).run()
    rows = tables.read(tmp_path / "evaluation.csv")
    assert [row["actor_steps"] for row in rows] == before + evaluated


def test_no_evaluation_is_written_of_a_program_that_stops_itself(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last row is one of the checkpoint that is left."""
    monkeypatch.setattr(lp, "wait_for_stop", stop_after(3))
    monkeypatch.setattr(workers.signals, "runtime_terminator", contextlib.nullcontext)

    def evaluate() -> dict[str, float]:
        run_directory.write_ending(tmp_path, {"actor_steps": 140.0})
        return {"episode_return": 0.5}

    workers.Evaluator(CONFIG, tmp_path, counter_at(actor_steps=150), lambda: evaluate).run()
    assert tables.read(tmp_path / "evaluation.csv") == []


def test_an_actor_that_fails_says_why_and_the_first_is_told(tmp_path: pathlib.Path) -> None:
    class Loop:
        def run(self) -> None:
            raise ZeroDivisionError("no such luck")

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            workers.ReportingLoop(Loop(), tmp_path).run()  # type: ignore[arg-type]
    assert run_directory.read_failure(tmp_path) == ("ZeroDivisionError", "no such luck", True)


_WAITING_ACTOR = """
import os, pathlib, signal, sys, threading
import agents.acme_layer.compat
import numpy as np
import reverb
from absl import flags
from acme.utils import signals
from launchpad.launch import worker_manager
from acme_psro.agent_runs.program import workers

flags.FLAGS(["actor"])
worker_manager.WorkerManager(register_in_thread=True)
one = reverb.Table("t", reverb.selectors.Uniform(), reverb.selectors.Fifo(), 9, reverb.rate_limiters.Queue(1))
server = reverb.Server([one])

class Loop:
    def run(self):
        writer = reverb.Client(f"localhost:{server.port}").trajectory_writer(1)
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
        with signals.runtime_terminator():
            while True:
                writer.append([np.zeros(1)])
                writer.create_item("t", 1.0, [writer.history[0][-1]])
                try:
                    writer.flush(1, timeout_ms=500)
                except reverb.DeadlineExceededError:
                    pass

workers.ReportingLoop(Loop(), pathlib.Path(sys.argv[1])).run()
print("ended")
os._exit(0)
"""


def test_an_actor_that_waits_for_replay_can_be_asked_to_end(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-c", _WAITING_ACTOR, str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, "ended" in ended.stdout) == (0, True), ended.stderr
    assert run_directory.read_failure(tmp_path) is None

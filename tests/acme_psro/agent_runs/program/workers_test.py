"""Tests of the workers of the actors, the evaluator and the coordinator, one by one."""

import contextlib
import dataclasses
import pathlib
import subprocess
import sys

import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import launchpad as lp
from acme.utils import counting

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.plateau import Plateau
from acme_psro.agent_runs.program import workers
from acme_psro.system import tables
from tests.acme_psro.agent_runs.program.fake_nodes import counter_at, stop_after

ROOT = pathlib.Path(__file__).resolve().parents[4]
PLATEAU = Plateau(2)
CONFIG = AgentRunConfig("crossq", "openspiel:kuhn_poker", 1000, evaluate_every=100, distributed=True)


def test_the_program_stops_when_all_steps_are_made(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[float] = []
    counter = counting.Counter()

    def wait(seconds: float) -> bool:
        # The learner does this when everything is saved, and not before.
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
        """Makes 100 steps, with an evaluation after the first 60 of them."""
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
        # A resumed run: the evaluation at 100 is done, and 200 steps were passed since.
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
    """There is one row per period, except for the last, which is made after the end of the program."""
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
    """The last row must be an evaluation of the final checkpoint."""
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

"""Tests of programs in which a process is killed or hangs: they are launched again and resume.

Each test launches a real program twice, so all of them are slow.
"""

from __future__ import annotations

import dataclasses
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs import program_jobs
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.program import snapshots
from acme_psro.policies import stored
from acme_psro.system import tables
from acme_psro.system.jobs import Event, Job
from acme_psro.system.retries import Retries
from acme_psro.system.supervision import run_all
from tests.acme_psro.agent_runs.processes import Processes

pytestmark = pytest.mark.slow


class Program:
    """A program that is supervised here, of which one process is sent a signal as soon as it has learned."""

    def __init__(
        self, config: AgentRunConfig, directory: pathlib.Path, environment: Mapping[str, str]
    ) -> None:
        self.config, self.directory = config, directory
        self.events: list[Event] = []
        self.processes = Processes("acme_psro.agent_runs.program", directory)
        self.steps_before = 0.0
        self.was_sent = False
        self._job = program_jobs.make_job(config, directory)
        self._environment = {**self._job.environment, **environment}

    def run(self, victim: str, number: signal.Signals, **options: Any) -> None:
        """Sends the signal to a node, by group and index, or to the child, and supervises to the end."""

        def interfere() -> None:
            if not self.was_sent and self._has_learned():
                self.processes.find(victim)[0].send_signal(number)
                self.steps_before = float(run_directory.newest_checkpoint(self.directory) or 0)
                self.was_sent = True

        def signs() -> Mapping[str, Hashable]:
            # Before and after it, only a machine that is busy could seem to hang.
            hangs = self.was_sent and len(self.events) == 1
            return self._job.signs() if hangs else {"now": time.monotonic()}

        job: Job = dataclasses.replace(self._job, environment=self._environment, signs=signs)
        soon = Retries(most=1, first_wait=0.1)
        run_all([job], retries=soon, on_event=self.events.append, on_poll=interfere, **options)

    def _has_learned(self) -> bool:
        steps = run_directory.newest_checkpoint(self.directory) or 0
        return steps > 1000 and bool(tables.read(self.directory / "learner.csv"))


@pytest.fixture
def program(
    tmp_path: pathlib.Path,
    small: Callable[..., AgentRunConfig],
    compiled: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Program:
    """Replay has a process of its own if the test kills replay."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    config = small(
        actor_steps=40_000,
        evaluate_every=10_000,
        checkpoint_seconds=0.0,
        distributed=True,
        replay_settings={"samples_per_insert": 4.0},
        replay_with_learner=request.node.callspec.params["victim"] != "replay/0",
        snapshots=20,
    )
    environment = {
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return Program(config, tmp_path / "run", environment)


def assert_went_on(program: Program, tmp_path: pathlib.Path) -> None:
    """Asserts that a program was resumed once, made all its steps and left no processes behind."""

    assert program.was_sent
    assert [event.kind for event in program.events] == ["started", "failed", "started", "done"]
    finished = run_directory.read_finished(program.directory, program.config)
    assert finished is not None
    assert finished.reason == "budget"
    policy = stored.read(run_directory.policy_file(program.directory))
    assert (policy.about["game"], policy.about["player"]) == ("kuhn_poker()", 0)
    first, second = tables.read(program.directory / "starts.csv")
    assert first["actor_steps"] == 0
    assert 0 < program.steps_before <= second["actor_steps"] < finished.counts["actor_steps"]
    for start in (first, second):
        assert 0 < start["learner_process_seconds"] < start["learner_made_seconds"]
        assert start["learner_made_seconds"] < start["first_step_seconds"]
    for name in ("learner", "actor", "evaluation"):
        steps = [row["actor_steps"] for row in tables.read(program.directory / f"{name}.csv")]
        assert steps == sorted(steps)
    taken = snapshots.find(program.directory)
    assert 1 <= len(taken) < program.config.snapshots
    assert all(stored.read(path).about == policy.about for path in taken)
    assert int(taken[-1].stem.removeprefix("policy_")) <= finished.counts["actor_steps"]
    assert program.processes.have_ended()
    assert list((tmp_path / "scratch").iterdir()) == []
    assert run_directory.read_failure(program.directory) is None


@pytest.mark.parametrize("victim", ["learner/0", "actor/0", "replay/0", "counter/0", "child"])
def test_a_program_goes_on_of_which_something_was_killed(
    victim: str, program: Program, tmp_path: pathlib.Path
) -> None:
    program.run(victim, signal.SIGKILL)
    assert_went_on(program, tmp_path)


@pytest.mark.parametrize("victim", ["learner/0", "actor/0"])
def test_a_program_goes_on_of_which_something_hung(
    victim: str, program: Program, tmp_path: pathlib.Path
) -> None:
    program.run(victim, signal.SIGSTOP, hang_seconds=20.0)
    assert "showed no sign of life for 20.0 s" in program.events[1].message
    assert_went_on(program, tmp_path)

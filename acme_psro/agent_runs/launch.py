"""Runs the training of one agent in this process, or as a Launchpad program in one of its own.

Light to import: what is heavy is imported by the process that needs it.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import sys
import time
from pathlib import Path

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs import placement
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.program import compilation
from acme_psro.agent_runs.progress import Progress
from acme_psro.system.process_groups import interruptible
from acme_psro.system.supervision import BAD_INPUT, Event, Failure, Job, run_all

# Of a program that goes on, the learner and every actor write something every few seconds; it may take
# minutes to compile, or to collect what learning begins with.
HANG_SECONDS = 900.0
_ROOT = Path(__file__).resolve().parents[2]


def run(config: AgentRunConfig, directory: Path, started: float) -> int:
    """Trains, evaluates and draws the curve; returns the exit code, having said what went wrong.

    Args:
      config: what to train.
      directory: where everything goes.
      started: `time.monotonic()` when the process began.
    """
    # What environments draw pictures with concerns nobody who trains in them.
    logging.getLogger("absl").setLevel(logging.WARNING)
    train = _train_as_program if config.distributed else _train_here
    if config.lp_launch_type == "vertex_ai":
        train = _train_in_cloud
    with interruptible(), Progress(config.actor_steps) as progress:
        try:
            has_ended = train(config, directory, started, progress)
        except KeyboardInterrupt:
            progress.note("stopped; --resume goes on from the last checkpoint")
            return 1
        except ValueError as error:
            return _say(error, BAD_INPUT)
        except RuntimeError as error:
            return _say(error, 1)
        if has_ended:
            _draw(config, directory, progress)
    return 0


def _say(error: Exception, code: int) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def _draw(config: AgentRunConfig, directory: Path, progress: Progress) -> None:
    from acme_psro.agent_runs import curve
    from acme_psro.system import tables

    path = directory / "evaluation.png"
    curve.write_curve(
        path, f"{config.agent} in {config.environment}", tables.read(directory / "evaluation.csv")
    )
    progress.note(f"curve: {path}")


def _train_here(config: AgentRunConfig, directory: Path, started: float, progress: Progress) -> bool:
    os.environ.update(placement.environment(config.learner_devices))
    from acme_psro.agent_runs import local

    local.train(config, directory, started, progress)
    return True


def _train_as_program(config: AgentRunConfig, directory: Path, started: float, progress: Progress) -> bool:
    """Runs the program in a child process and evaluates what it learned; a finished one is left as it is.

    Raises:
      ValueError: the configuration is refused.
      RuntimeError: the program failed.
    """
    shown = _Shown(directory, progress)
    job = make_job(config, directory)
    run_all([job], hang_seconds=HANG_SECONDS, on_event=shown.note, on_poll=shown.update)
    _conclude(config, directory, started, progress)
    return True


def _train_in_cloud(config: AgentRunConfig, directory: Path, started: float, progress: Progress) -> bool:
    """Sends the program to Vertex AI, or evaluates what one that was sent before has learned.

    Raises:
      ValueError: the configuration is refused.
      RuntimeError: the program could not be sent.
    """
    if run_directory.read_finished(directory, config) is not None:
        _conclude(config, directory, started, progress)
        return True
    from acme_psro.agent_runs.vertex_ai import send

    send.send(config, directory)
    progress.note(
        f"sent to Vertex AI: once {directory / 'finished.json'} is there, --resume evaluates the run"
    )
    return False


def _conclude(config: AgentRunConfig, directory: Path, started: float, progress: Progress) -> None:
    """Evaluates what a program that has ended learned, unless that is done."""
    finished = run_directory.read_finished(directory, config)
    if finished is None:
        return
    if not run_directory.is_evaluated(directory, finished):
        os.environ.update(placement.environment(config.learner_devices))
        from acme_psro.agent_runs import final

        progress.show(final.evaluate(config, directory, finished.counts, time.monotonic() - started))
    if finished.why == "plateau":
        progress.note(f"ended at a plateau after {finished.counts['actor_steps']:,.0f} steps")


def make_job(config: AgentRunConfig, directory: Path, name: str = "program", sharing_devices: int = 1) -> Job:
    """The Launchpad program of a run, for `acme_psro.system.supervision`; resumes from its newest checkpoint.

    Args:
      config: of the run.
      directory: of the run; must be one that `directory.check` lets it begin or go on in.
      name: for events and errors.
      sharing_devices: learners that may be on the learner's devices at the same time, itself included.
    """
    command = (
        sys.executable,
        "-m",
        "acme_psro.agent_runs.program.child",
        json.dumps(config.to_json()),
        str(directory),
    )
    paths = [str(_ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return Job(
        name,
        command,
        is_done=lambda: run_directory.read_finished(directory, config) is not None,
        failure=functools.partial(_failure, directory),
        landmark=functools.partial(run_directory.newest_checkpoint, directory),
        signs=functools.partial(run_directory.signs_of_life, directory, config),
        environment={"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        | compilation.environment()
        | placement.environment(config.learner_devices, sharing_devices),
    )


def _failure(directory: Path, how: str) -> Failure:
    """Returns the failure that a program recorded, or else the way it ended."""
    log = directory / "program.log"
    failure = run_directory.read_failure(directory)
    if failure is None:
        return Failure(f"the program {how} (see {log})")
    return Failure(f"{failure.message} ({failure.kind}; see {log})", failure.is_final)


class _Shown:
    """Shows what becomes of a program.

    Args:
      directory: of the run.
      progress: is told.
    """

    def __init__(self, directory: Path, progress: Progress) -> None:
        self._directory = directory
        self._progress = progress
        self._evaluations = len(self._read("evaluation"))

    def note(self, event: Event) -> None:
        if event.kind == "failed":
            self._progress.note(event.message)

    def update(self) -> None:
        """Shows what the tables have grown by."""
        rows = self._read("evaluation")
        for row in rows[self._evaluations :]:
            self._progress.show(row)
        self._evaluations = len(rows)
        episodes = self._read("actor")
        if episodes:
            last = episodes[-1]
            self._progress.advance(int(last["actor_steps"]), last["episode_return"])

    def _read(self, name: str) -> list[dict[str, float]]:
        from acme_psro.system import tables

        return tables.read(self._directory / f"{name}.csv")

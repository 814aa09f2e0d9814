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

from acme_psro.process_groups import interruptible
from acme_psro.supervision import Event, Failure, Job, run_all
from experiments import command_line
from experiments.agent_runs import compilation
from experiments.agent_runs import directory as run_directory
from experiments.agent_runs.config import AgentRunConfig
from experiments.agent_runs.progress import Progress

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
    with interruptible(), Progress(config.actor_steps) as progress:
        try:
            train(config, directory, started, progress)
        except KeyboardInterrupt:
            progress.note("stopped; --resume goes on from the last checkpoint")
            return 1
        except ValueError as error:
            return _say(error, command_line.BAD_INPUT)
        except RuntimeError as error:
            return _say(error, 1)
        _draw(config, directory, progress)
    return 0


def _say(error: Exception, code: int) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def _draw(config: AgentRunConfig, directory: Path, progress: Progress) -> None:
    from experiments.agent_runs import curve, tables

    path = directory / "evaluation.png"
    curve.write_curve(
        path, f"{config.agent} in {config.environment}", tables.read(directory / "evaluation.csv")
    )
    progress.note(f"curve: {path}")


def _train_here(config: AgentRunConfig, directory: Path, started: float, progress: Progress) -> None:
    from experiments.agent_runs import local

    local.train(config, directory, started, progress)


def _train_as_program(config: AgentRunConfig, directory: Path, started: float, progress: Progress) -> None:
    """Runs the program in a child process and evaluates what it learned; a finished one is left as it is.

    Raises:
      ValueError: the configuration is refused.
      RuntimeError: the program failed.
    """
    shown = _Shown(directory, progress)
    job = make_job(config, directory)
    run_all([job], hang_seconds=HANG_SECONDS, on_event=shown.note, on_poll=shown.update)
    finished = run_directory.read_finished(directory, config)
    if finished is not None and not run_directory.is_evaluated(directory, config):
        from experiments.agent_runs import final

        progress.show(final.evaluate(config, directory, finished.counts, time.monotonic() - started))


def make_job(config: AgentRunConfig, directory: Path, name: str = "program") -> Job:
    """The Launchpad program of a run, for `acme_psro.supervision`; it goes on from its newest checkpoint.

    Its environment may be added to: what is set there, such as visible devices, holds for the learner.

    Args:
      config: of the run.
      directory: of the run; must be one that `directory.check` lets it begin or go on in.
      name: for events and errors.
    """
    command = (
        sys.executable,
        "-m",
        "experiments.agent_runs.child",
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
        environment={"PYTHONPATH": os.pathsep.join(filter(None, paths))} | compilation.environment(),
    )


def _failure(directory: Path, how: str) -> Failure:
    """What a program left of its failure; or else how it ended."""
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
        from experiments.agent_runs import tables

        return tables.read(self._directory / f"{name}.csv")

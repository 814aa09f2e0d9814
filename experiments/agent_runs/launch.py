"""Runs the training of one agent in this process, or as a Launchpad program in one of its own.

Light to import: what is heavy is imported by the process that needs it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from experiments import command_line
from experiments.agent_runs import directory as run_directory
from experiments.agent_runs.config import AgentRunConfig
from experiments.agent_runs.progress import Progress

_POLL_SECONDS = 0.5
# Launchpad gives its nodes ten seconds to stop.
_STOP_SECONDS = 20.0
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
    with _interruptible(), Progress(config.actor_steps) as progress:
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


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Makes a request to end (SIGTERM) what Ctrl-C is."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
    finished = run_directory.read_finished(directory, config)
    if finished is None:
        finished = _run_program(config, directory, progress)
    if not run_directory.is_evaluated(directory, config):
        from experiments.agent_runs import final

        progress.show(final.evaluate(config, directory, finished, time.monotonic() - started))


def _run_program(config: AgentRunConfig, directory: Path, progress: Progress) -> dict[str, float]:
    """Runs the program to its end; returns its counts."""
    with _program(config, directory) as (child, said):
        shown = len(_evaluations(directory))
        while child.poll() is None:
            time.sleep(_POLL_SECONDS)
            shown = _show(directory, progress, shown)
        if child.returncode == command_line.BAD_INPUT:
            raise ValueError(said.read_text().splitlines()[-1].removeprefix("error: "))
    finished = run_directory.read_finished(directory, config)
    if finished is None:
        raise RuntimeError(_failure(child.returncode, directory))
    return finished


def _failure(code: int, directory: Path) -> str:
    """What a program left of its failure."""
    log = directory / "program.log"
    failure = run_directory.read_failure(directory)
    if failure is not None:
        return f"{failure['message']} ({failure['kind']}; see {log})"
    return f"the program ended with code {code} before its last step; see {log}"


@contextlib.contextmanager
def _program(config: AgentRunConfig, directory: Path) -> Iterator[tuple[subprocess.Popen, Path]]:
    """The child process, in a session of its own, of which nothing is left at the end.

    Also yields the file where it says why it refuses a configuration; then it writes nothing else.
    """
    command = [
        sys.executable,
        "-m",
        "experiments.agent_runs.child",
        json.dumps(config.to_json()),
        str(directory),
    ]
    paths = [str(_ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    with tempfile.TemporaryDirectory(prefix="run_agent_") as scratch:
        said = Path(scratch) / "said"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "TMPDIR": scratch}
        with open(said, "wb") as output:
            child = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment, start_new_session=True
            )
        try:
            yield child, said
        finally:
            _end(child)


def _end(child: subprocess.Popen) -> None:
    """Asks the child to stop, then leaves it and all that it started no choice."""
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _evaluations(directory: Path) -> list[dict[str, float]]:
    from experiments.agent_runs import tables

    return tables.read(directory / "evaluation.csv")


def _show(directory: Path, progress: Progress, shown: int) -> int:
    """Shows what tables have grown by; returns how many evaluations were shown."""
    from experiments.agent_runs import tables

    rows = _evaluations(directory)
    for row in rows[shown:]:
        progress.show(row)
    episodes = tables.read(directory / "actor.csv")
    if episodes:
        progress.advance(int(episodes[-1]["actor_steps"]), episodes[-1]["episode_return"])
    return len(rows)

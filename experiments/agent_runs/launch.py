"""Runs the training of one agent in this process, or as a Launchpad program in one of its own.

Light to import: what is heavy is imported by the process that needs it.
"""

from __future__ import annotations

import contextlib
import json
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
    """Runs the program in a child process and evaluates what it learned.

    Raises:
      ValueError: the configuration is refused.
      RuntimeError: the program failed.
    """
    with _program(config, directory) as child:
        shown = 0
        while child.poll() is None:
            time.sleep(_POLL_SECONDS)
            shown = _show(directory, progress, shown)
    finished = run_directory.read_note(directory, "finished.json")
    if finished is None:
        _refuse(child.returncode, directory)
    from experiments.agent_runs import final

    assert finished is not None
    row = final.evaluate(config, directory, finished, time.monotonic() - started)
    progress.show(row)


def _refuse(code: int, directory: Path) -> None:
    """Raises what a program left of its failure."""
    log = directory / "program.log"
    failure = run_directory.read_note(directory, "failure.json")
    if failure is not None:
        raise RuntimeError(f"{failure['message']} ({failure['kind']}; see {log})")
    raise RuntimeError(f"the program ended with code {code} before its last step; see {log}")


@contextlib.contextmanager
def _program(config: AgentRunConfig, directory: Path) -> Iterator[subprocess.Popen]:
    """The child process, in a session of its own, of which nothing is left at the end."""
    directory.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "experiments.agent_runs.child",
        json.dumps(config.to_json()),
        str(directory),
    ]
    paths = [str(_ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    with (
        tempfile.TemporaryDirectory(prefix="run_agent_") as scratch,
        open(directory / "program.log", "ab") as log,
    ):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "TMPDIR": scratch}
        child = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True, cwd=os.getcwd()
        )
        try:
            yield child
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


def _show(directory: Path, progress: Progress, shown: int) -> int:
    """Shows what tables have grown by; returns how many evaluations were shown."""
    from experiments.agent_runs import tables

    rows = tables.read(directory / "evaluation.csv")
    for row in rows[shown:]:
        progress.show(row)
    episodes = tables.read(directory / "actor.csv")
    if episodes:
        progress.advance(int(episodes[-1]["actor_steps"]), episodes[-1]["episode_return"])
    return len(rows)

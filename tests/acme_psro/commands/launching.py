"""Helpers that run a launcher in this process or in a separate process."""

import gc
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from absl.testing import flagsaver

from acme_psro.commands import command_line

ROOT = pathlib.Path(__file__).parents[3]


class Ended(NamedTuple):
    """Exit code and output of a launcher."""

    code: int
    out: str
    err: str


Launch = Callable[..., Ended]


def exit_code(main: Callable[[], None], *arguments: str) -> int:
    """Runs a launcher in this process, restores all flags, and returns the exit code."""
    with pytest.MonkeyPatch.context() as patch, flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["launcher", *arguments])
        command_line.run(main)
    return ended.value.code or 0  # type: ignore[return-value]


def make_launch(main: Callable[[], None], capture: pytest.CaptureFixture[str]) -> Launch:
    """Makes a function that runs a launcher with arguments in this process and returns its output."""

    def launch(*arguments: str) -> Ended:
        # Servers left by earlier tests print messages when they are collected; do that before the launch.
        gc.collect()
        capture.readouterr()
        code = exit_code(main, *arguments)
        return Ended(code, *capture.readouterr())

    return launch


def start(
    module: str, *arguments: str, options: tuple[str, ...] = (), **environment: str
) -> subprocess.Popen[str]:
    """Starts a launcher in a new process, with options of the interpreter and extra environment variables."""
    command = [sys.executable, *options, "-m", module, *arguments]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, **streams)


def contents(directory: pathlib.Path) -> dict[str, bytes]:
    """Returns the paths of all files below a directory."""
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}

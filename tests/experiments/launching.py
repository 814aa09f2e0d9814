"""How tests run a launcher: in this process, or as a process of its own."""

import gc
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from absl.testing import flagsaver

from experiments import command_line

ROOT = pathlib.Path(__file__).parents[2]


class Ended(NamedTuple):
    """How a launcher ended."""

    code: int
    out: str
    err: str


Launch = Callable[..., Ended]


def exit_code(main: Callable[[], None], *arguments: str) -> int:
    """Of a launcher run in this process; flags are as before afterwards."""
    with pytest.MonkeyPatch.context() as patch, flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["launcher", *arguments])
        command_line.run(main)
    return ended.value.code or 0  # type: ignore[return-value]


def make_launch(main: Callable[[], None], capture: pytest.CaptureFixture[str]) -> Launch:
    """What runs a launcher in this process with arguments, and tells how it ended."""

    def launch(*arguments: str) -> Ended:
        # Servers that earlier tests left behind say so when they are collected.
        gc.collect()
        capture.readouterr()
        code = exit_code(main, *arguments)
        return Ended(code, *capture.readouterr())

    return launch


def start(
    module: str, *arguments: str, options: tuple[str, ...] = (), **environment: str
) -> subprocess.Popen[str]:
    """A real process of a launcher, with options of the interpreter and more of an environment."""
    command = [sys.executable, *options, "-m", module, *arguments]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, **streams)


def contents(directory: pathlib.Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}

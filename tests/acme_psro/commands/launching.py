"""Helpers that run a launcher in this process or in a separate process."""

import contextlib
import gc
import importlib
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from absl import flags
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
        # What is in use now is set aside until the end of the module, or each launch would take a second to
        # look through all that has been imported and compiled.
        gc.collect()
        gc.freeze()
        capture.readouterr()
        code = exit_code(main, *arguments)
        return Ended(code, *capture.readouterr())

    return launch


@contextlib.contextmanager
def imported(name: str) -> Iterator[Any]:
    """Context manager that imports a launcher whose flags have the names of other launchers' flags.

    They take the place of the others while the context lasts.
    """
    defined = flags.FLAGS
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    own = set(re.findall(r'flags\.DEFINE_\w+\(\s*"(\w+)"', pathlib.Path(spec.origin).read_text()))
    names = {flag.name for flag in defined.get_flags_for_module("acme_psro.commands.psro_flags")} | own
    others = {each: defined[each] for each in names | {"lp_launch_type"} if each in defined}
    owners = {each: defined.find_module_defining_flag(each) for each in others}
    for each in others:
        delattr(defined, each)
    module = importlib.import_module(name)
    yield module
    for flag in defined.get_flags_for_module(module.__name__):
        delattr(defined, flag.name)
    for each, flag in others.items():
        # Launchpad, once imported, has one of them too.
        if each in defined:
            delattr(defined, each)
        defined[each] = flag
        # Otherwise, `--config` would not know later that the flag is its launcher's.
        defined.register_flag_by_module(owners[each], flag)


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

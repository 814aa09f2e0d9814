"""Tests of commands.command_line: exit codes, and one line for bad input."""

import errno
import logging
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from absl import flags
from absl.testing import flagsaver

from acme_psro.commands import command_line
from tests.acme_psro.commands.launching import ROOT, exit_code

# Read before any test runs: Launchpad, which others start, has a handler of its own.
_HANDLER = signal.getsignal(signal.SIGINT)

flags.DEFINE_integer("command_line_test_count", 3, "A flag of these tests.")
flags.DEFINE_boolean("command_line_test_switch", False, "Another flag of these tests.")
flags.DEFINE_float("command_line_test_share", 0.5, "Another flag of these tests.")


def _never() -> None:
    pytest.fail("main must not be called")


def test_flags_are_parsed_before_main_and_done_is_zero() -> None:
    seen = []
    code = exit_code(lambda: seen.append(flags.FLAGS.command_line_test_count), "--command_line_test_count=7")
    assert (code, seen) == (0, [7])


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("--command_line_test_count=many", "command_line_test_count"),
        ("--command_line_test_count=", "command_line_test_count"),
        ("--command_line_test_cuont=1", "command_line_test_cuont"),
        ("--no_such_flag", "no_such_flag"),
        ("stray", "stray"),
        ("-", "-"),
    ],
)
def test_what_cannot_be_parsed_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], argument: str, named: str
) -> None:
    assert exit_code(_never, argument) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert named in printed.err
    assert "--help" in printed.err
    assert printed.err.count("\n") == 1


def test_bad_input_is_a_value_error_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        with command_line.bad_input():
            raise ValueError("first line\n  second line")

    assert exit_code(main) == 2
    assert capsys.readouterr().err == "error: first line second line\n"


def test_other_errors_are_not_taken_for_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        with command_line.bad_input():
            raise ZeroDivisionError

    monkeypatch.setattr(sys, "argv", ["launcher"])
    with flagsaver.flagsaver(), pytest.raises(ZeroDivisionError):
        command_line.run(main)


def test_a_value_error_of_the_program_itself_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        with command_line.bad_input():
            pass
        raise ValueError("a bug")

    monkeypatch.setattr(sys, "argv", ["launcher"])
    with flagsaver.flagsaver(), pytest.raises(ValueError, match="a bug"):
        command_line.run(main)


def test_refuse_says_why_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.refuse("no such thing:   take another")
    assert ended.value.code == command_line.BAD_INPUT == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "error: no such thing: take another\n")


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--command_line_test_switch=maybe", "--command_line_test_switch must be true or false, not 'maybe'"),
        ("--command_line_test_count=1.5", "--command_line_test_count must be a whole number, not '1.5'"),
        ("--command_line_test_share=half", "--command_line_test_share must be a number, not 'half'"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_in_plain_words(
    capsys: pytest.CaptureFixture[str], argument: str, says: str
) -> None:
    assert exit_code(_never, argument) == 2
    assert capsys.readouterr().err == f"error: {says} (--help lists the flags)\n"


def _run(main: Callable[[], None], directory: pathlib.Path | None = None) -> int:
    """Runs a launcher's main with a run directory, and returns the exit code."""
    with pytest.MonkeyPatch.context() as patch, flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["launcher"])
        command_line.run(main, None if directory is None else lambda: directory)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def _raise(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


def test_ctrl_c_is_one_line_with_a_hint_if_there_is_a_run(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for directory in (None, tmp_path, tmp_path / "nowhere"):
        assert _run(_raise(KeyboardInterrupt()), directory) == 1
        assert capsys.readouterr().err == "stopped.\n"
    (tmp_path / "config.json").write_text("{}")
    assert _run(_raise(KeyboardInterrupt()), tmp_path) == 1
    assert capsys.readouterr().err == "stopped; --resume continues the run.\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "a/b"),
            "cannot write a/b: No space left on device",
        ),
        (OSError(errno.EROFS, "Read-only file system", "a/b"), "cannot write a/b: Read-only file system"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "cannot write DIR: Disk quota exceeded"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), "cannot open a/b: Permission denied"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 999), "[..]"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", b"a/b"), "cannot open a/b: Not a directory"),
        (TimeoutError("no answer"), "TimeoutError: no answer"),
    ],
)
def test_errors_of_the_system_are_one_line_that_names_the_file(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], error: OSError, line: str
) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert _run(_raise(error), tmp_path) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1
    assert line.replace("DIR", str(tmp_path)) in printed
    # Where there is no room, the run itself is sound.
    assert ("; --resume continues the run." in printed) == line.startswith("cannot write")
    assert len(printed) < 400


def test_without_a_run_nothing_is_said_of_resuming(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(_raise(OSError(errno.ENOSPC, "No space left on device", "a"))) == 2
    assert capsys.readouterr().err == "error: cannot write a: No space left on device.\n"


def test_a_current_directory_that_was_deleted_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert _run(lambda: os.mkdir("runs")) == 2
    assert "the current directory does not exist any more" in capsys.readouterr().err


def test_ctrl_c_while_a_launcher_is_imported_is_one_line() -> None:
    """As if a module that the launcher imports took long."""
    program = (
        "from acme_psro.commands import command_line; import os, signal; "
        "signal.raise_signal(signal.SIGINT); import time; time.sleep(60)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "stopped.\n")
    # In this process, the import of the launchers has left the handler as it was.
    assert _HANDLER is signal.default_int_handler


def test_home_directories_are_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert command_line.path_of("output_dir", "~/runs/a") == pathlib.Path("/home/me/runs/a")
    assert command_line.path_of("output_dir", "runs/~a") == pathlib.Path("runs/~a")
    with pytest.raises(ValueError, match="--output_dir=~no_such_user/a: there is no such user"):
        command_line.path_of("output_dir", "~no_such_user/a")


@pytest.mark.parametrize("name", ["kuhn_poker-exact-0", "x" * 200, "x" * 201, "ä" * 200, "y" * 3000])
def test_default_directories_have_names_that_file_systems_allow(name: str) -> None:
    short = command_line.shorten(name)
    assert len(short.encode()) <= 200
    assert (short == name) == (len(name.encode()) <= 200)
    assert command_line.shorten(f"{name}1") != command_line.shorten(f"{name}2")


def test_flags_without_effect_are_refused_only_if_they_are_given(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        with command_line.bad_input():
            command_line.check_used({"command_line_test_count": "--command_line_test_switch"})

    assert exit_code(main) == 0
    assert exit_code(main, "--command_line_test_share=0.1") == 0
    # The default, but given.
    assert exit_code(main, "--command_line_test_count=3") == 2
    assert "--command_line_test_count needs --command_line_test_switch" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("--verbosity=1",)])
def test_libraries_log_nothing_but_warnings(arguments: tuple[str, ...]) -> None:
    names = ("some_library", "absl", "jax", "matplotlib.font_manager")
    levels = {}

    def main() -> None:
        levels.update({name: logging.getLogger(name).getEffectiveLevel() for name in names})

    assert exit_code(main, *arguments) == 0
    # Matplotlib warns of a cache that it cannot write, which does not concern a run.
    assert levels == dict(zip(names, (logging.WARNING,) * 3 + (logging.ERROR,), strict=True))

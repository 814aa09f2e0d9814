"""Tests of experiments.command_line: exit codes, and one line for bad input."""

import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import command_line
from tests.experiments.launching import exit_code

flags.DEFINE_integer("command_line_test_count", 3, "A flag of these tests.")


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

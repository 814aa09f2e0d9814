"""Tests of the progress display of a run."""

import io
import math

import pytest

from acme_psro.agent_runs.progress import Progress

ROW = {
    "actor_steps": 12345.0,
    "episode_return": 0.25,
    "episode_return_stderr": 0.125,
    "training_seconds": 245.0,
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(row: dict[str, float]) -> str:
    stream = io.StringIO()
    with Progress(20_000, stream) as progress:
        progress.start(0)
        progress.advance(12_345, 1.0)
        progress.show(row)
    return stream.getvalue()


def test_an_evaluation_is_one_line() -> None:
    assert " ".join(shown(ROW).split()) == "12,345 steps return 0.2500 +- 0.1250 4 min 05 s"
    assert shown(ROW).count("\n") == 1


def test_of_one_episode_there_is_no_standard_error() -> None:
    line = shown(ROW | {"episode_return_stderr": math.nan})
    assert " ".join(line.split()) == "12,345 steps return 0.2500 4 min 05 s"


def test_exact_values_are_shown_beside_the_best() -> None:
    line = shown(ROW | {"exact_value": 0.1, "best_response_value": 0.5})
    assert "exactly 0.1000 of 0.5000" in line


def test_where_a_run_goes_on_is_said() -> None:
    stream = io.StringIO()
    with Progress(20_000, stream) as progress:
        progress.start(5_000)
    assert stream.getvalue() == "resuming from 5,000 steps\n"


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_bar_is_drawn_where_a_terminal_can(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    stream = Terminal()
    with Progress(20_000, stream) as progress:
        progress.start(0)
        progress.advance(5_000, -0.5)
        progress.show(ROW)
    text = stream.getvalue()
    assert "12,345 steps" in text
    assert ("5000/20000" in text) == (term == "xterm")
    assert ("last return -0.5000" in text) == (term == "xterm")
    assert ("\x1b" in text) == (term == "xterm")


def test_a_bar_goes_away_when_a_run_fails() -> None:
    stream = Terminal()
    with pytest.raises(ZeroDivisionError), Progress(10, stream, enabled_bar=True) as progress:
        progress.start(0)
        raise ZeroDivisionError
    # The cursor is shown again.
    assert stream.getvalue().rstrip().endswith("\x1b[?25h")

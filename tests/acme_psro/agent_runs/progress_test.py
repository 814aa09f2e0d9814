"""Tests of the progress display of a run."""

import io
import math
import pathlib
import re
import time
from typing import Any

import pytest

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.progress import HEARTBEAT_SECONDS, Progress, describe_run

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


def wait_for_lines(stream: io.StringIO, number: int) -> list[str]:
    """Returns the lines as soon as there are so many."""
    deadline = time.monotonic() + 60
    while (found := stream.getvalue()).count("\n") < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found.splitlines()


def test_silence_is_at_most_half_a_minute() -> None:
    assert HEARTBEAT_SECONDS <= 30


def test_where_there_is_no_terminal_a_line_shows_from_time_to_time_that_the_run_lives() -> None:
    stream = io.StringIO()
    with Progress(20_000, stream, heartbeat_seconds=0.05) as progress:
        assert set(wait_for_lines(stream, 3)) == {"           0 of 20,000 steps (0%)  starting"}
        with progress.compiling():
            wait_for_lines(stream, stream.getvalue().count("\n") + 2)
        progress.advance(5_000, 0.5)
        lines = wait_for_lines(stream, stream.getvalue().count("\n") + 2)
    assert lines.count("compiling the learner's update") == 1
    assert "           0 of 20,000 steps (0%)  compiling the learner's update" in lines
    assert "       5,000 of 20,000 steps (25%)  last return 0.5000" in lines
    # Nothing follows the end of the run.
    number = stream.getvalue().count("\n")
    time.sleep(0.2)
    assert stream.getvalue().count("\n") == number


def test_a_line_of_the_run_replaces_the_sign_of_life() -> None:
    stream = io.StringIO()
    with Progress(20_000, stream, heartbeat_seconds=2.0) as progress:
        for _ in range(25):
            progress.note("busy")
            time.sleep(0.1)
    assert set(stream.getvalue().splitlines()) == {"busy"}


def test_the_time_left_is_told_while_the_run_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress(10_000, io.StringIO())
    progress.enter("collecting experience")
    for progress_made in (1_000, 2_000):
        progress.advance(progress_made, 1.0)
        now[0] += 1
    # It would be much less than what learning takes.
    assert "left" not in progress.describe()
    with progress.compiling():
        now[0] += 100
    for progress_made in (2_000, 3_000, 4_000):
        progress.advance(progress_made, -2.5)
        now[0] += 50
    now[0] -= 50
    assert (
        progress.describe()
        == "       4,000 of 10,000 steps (40%)  last return -2.5000  about 5 min 00 s left"
    )
    with progress.during("evaluating"):
        assert "steps (40%)  evaluating  about" in progress.describe()
    assert "last return" in progress.describe()


def test_output_that_is_gone_does_not_end_the_run() -> None:
    stream = io.StringIO()
    with Progress(20_000, stream, heartbeat_seconds=0.02):
        stream.close()
        time.sleep(0.1)


def test_a_bar_shows_the_current_work_until_the_run_learns() -> None:
    stream = Terminal()
    with Progress(20_000, stream, enabled_bar=True) as progress:
        progress.start(0)
        with progress.compiling():
            pass
        progress.advance(5_000, 0.25)
    text = stream.getvalue()
    # Only the bar, which is drawn anew, and no line.
    assert "last return 0.2500" in text
    assert re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).count("\n") <= 2


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "crossq in openspiel:kuhn_poker: 50,000 steps, learner on cpu, directory runs/a"),
        (
            {"distributed": True, "num_actors": 2},
            "crossq in openspiel:kuhn_poker: 50,000 steps, a program with 2 actors, learner on cpu, "
            "directory runs/a",
        ),
    ],
)
def test_the_first_line_tells_what_is_run(changes: dict[str, Any], expected: str) -> None:
    config = AgentRunConfig("crossq", "openspiel:kuhn_poker", 50_000, **changes)
    assert describe_run(config, pathlib.Path("runs/a"), "cpu") == expected

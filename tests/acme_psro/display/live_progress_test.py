"""Tests of acme_psro.display.live_progress."""

import contextlib
import math
import os
import pathlib
import pty
import re
import subprocess
import sys
import time

import pytest

from acme_psro.display import progress
from tests.acme_psro.display.rows import Terminal, bounded, make_row

_ROOT = str(pathlib.Path(__file__).parents[3])


def _text(stream: Terminal) -> str:
    """Returns all text in a terminal, without its escape codes."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def _last_frame(stream: Terminal) -> str:
    """Returns the text from the last table on; a slow machine may redraw the table at any time."""
    text = _text(stream)
    return text[text.rindex("NashConv") :]


def test_live_table_shows_the_latest_rows_and_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    stream = Terminal()
    with progress.make_progress(20, stream, True) as display:
        for iteration in range(12):
            display.start_iteration(iteration, "training [crossq]")
            display.update(make_row(iteration, players=3, nash_conv=0.75))
        display.note("saved [red]here[/red]")
        running = _text(stream)
        stream.seek(0)
        stream.truncate()
    last = _last_frame(stream)
    shown = [int(line.split()[0]) for line in last.splitlines() if "2.5 / 2.5 / 2.5 %" in line]
    assert shown == [4, 5, 6, 7, 8, 9, 10, 11]
    assert "0.7500" in last
    assert "12 / 12 / 12" in last
    assert "11/20" in last
    assert "about 1 min 52 s left" in running
    assert re.search(r"elapsed \d+\.\d s", last) and "left" not in last
    assert "done" in last


def test_populations_of_a_fixed_size_show_how_many_members_differ() -> None:
    stream = Terminal()
    with progress.make_progress(20, stream, True) as display:
        fixed = {"effective_size": 5.0, "population_0": 8, "population_1": 8}
        display.update(make_row(3) | fixed)
    last = _last_frame(stream)
    assert "effective size" in last and "5 of 8" in last and "populations" not in last


def test_live_note_and_text_are_not_read_as_markup() -> None:
    stream = Terminal()
    with progress.make_progress(2, stream, True) as display:
        display.start_iteration(1, "training [red]")
        display.note("saved [red]here[/red]")
    assert "training [red]" in _text(stream)
    assert "saved [red]here[/red]" in _text(stream)


def test_numbers_are_never_cut_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "76")
    stream = Terminal()
    with progress.make_progress(20, stream, True) as display:
        display.update(make_row(11, players=4))
        stream.seek(0)
        stream.truncate()
    assert "…" not in _text(stream)
    assert _last_frame(stream).count("2.5") == 4


def test_terminal_is_restored_after_an_exception() -> None:
    stdout, stderr = sys.stdout, sys.stderr
    stream = Terminal()
    display = progress.make_progress(5, stream, True)
    with pytest.raises(KeyError), display:
        raise KeyError
    assert (sys.stdout, sys.stderr) == (stdout, stderr)
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")
    assert "stopped" in stream.getvalue()


def test_killed_process_leaves_the_cursor_visible() -> None:
    code = (
        "import os, signal\n"
        "from acme_psro.display import progress\n"
        "with progress.make_progress(5, enabled_live=True) as display:\n"
        "    display.start_iteration(1, 'training')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent, child = pty.openpty()
    environment = dict(os.environ, PYTHONPATH=_ROOT, TERM="xterm")
    result = subprocess.run([sys.executable, "-c", code], env=environment, stderr=child)
    os.close(child)
    data = b""
    # Linux ends the output of a closed terminal with an error instead of an empty read.
    with contextlib.suppress(OSError):
        while chunk := os.read(parent, 65536):
            data += chunk
    os.close(parent)
    written = data.decode()
    assert result.returncode == -9
    assert "training" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_a_live_row_is_replaced_if_more_is_known_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    stream = Terminal()
    with progress.make_progress(20, stream, True) as display:
        display.update(bounded(make_row(0, nash_conv=math.nan, gap=math.nan)))
        display.update(bounded(make_row(0, nash_conv=0.25, gap=math.nan)))
        display.update(bounded(make_row(1, nash_conv=math.nan, gap=math.nan)))
        stream.seek(0)
        stream.truncate()
    lines = [line.split() for line in _last_frame(stream).splitlines()]
    assert [line[0] for line in lines if line and line[0] in ("0", "1")] == ["0", "1"]
    assert ">= 0.2500 ± 0.0300" in _last_frame(stream)


def test_details_are_shown_below_the_task_and_read_now_and_then() -> None:
    stream = Terminal()
    read: list[float] = []

    def details() -> list[str]:
        read.append(time.monotonic())
        return ["player 0's program: 5 of 7"]

    with progress.make_progress(2, stream, True) as display:
        display.start_iteration(1, "training", details)
        for _ in range(20):
            display.note("line")
    assert len(read) == 1
    assert re.search(r"iteration 1: training\s+player 0's program: 5 of 7", _text(stream))

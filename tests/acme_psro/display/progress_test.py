"""Tests of acme_psro.display.progress."""

import contextlib
import io
import math
import os
import pathlib
import pty
import re
import subprocess
import sys

import pytest

from acme_psro.display import progress

_ROOT = str(pathlib.Path(__file__).parents[3])


def _row(iteration: int, players: int = 2, nash_conv: float = 0.5, gap: float = 0.025) -> dict[str, float]:
    row: dict[str, float] = {
        "iteration": iteration,
        "wall_seconds": 12.5 * iteration,
        "nash_conv": nash_conv,
        "exploitability": nash_conv / players,
    }
    for player in range(players):
        row[f"relative_gap_{player}"] = gap
        row[f"population_{player}"] = iteration + 1
    return row


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_show_the_numbers_aligned_without_escape_codes() -> None:
    stream = io.StringIO()
    with progress.make_progress(20, stream) as display:
        display.start_iteration(0, "initial population")
        display.update(_row(0, nash_conv=4.75, gap=math.nan))
        display.start_iteration(9, "training")
        display.update(_row(9))
        display.update(_row(10, nash_conv=1e-9, gap=1.5))
        display.note("report [in] report.html")
    *lines, note = stream.getvalue().splitlines()
    assert note == "report [in] report.html"
    assert len(lines) == 3
    assert "\x1b" not in stream.getvalue()
    assert " ".join(lines[1].split()) == (
        "iteration 9/20 NashConv 0.5000 exploitability 0.2500 best-response gap 2.5 / 2.5 % "
        "populations 10 / 10 1 min 52 s"
    )
    assert "gap           - / -  " in lines[0]
    assert "150.0 / 150.0 %" in lines[2]
    assert len({len(line) for line in lines}) == 1
    assert len({line.index("populations") for line in lines}) == 1


def test_plain_lines_are_flushed() -> None:
    flushed: list[str] = []

    class Stream(io.StringIO):
        def flush(self) -> None:
            flushed.append(self.getvalue())

    with progress.make_progress(1, Stream()) as display:
        display.update(_row(1))
    assert flushed[-1].endswith("\n")


def test_rich_is_imported_for_a_terminal_only() -> None:
    code = (
        "import sys\n"
        "from acme_psro.display import progress\n"
        "with progress.make_progress(2) as display: display.note('x')\n"
        "assert 'rich' not in sys.modules\n"
    )
    environment = dict(os.environ, PYTHONPATH=_ROOT)
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "x\n")


def test_display_follows_the_stream_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(progress.make_progress(2, _Terminal()), progress.LiveProgress)
    assert isinstance(progress.make_progress(2, io.StringIO()), progress.PlainProgress)
    assert isinstance(progress.make_progress(2, _Terminal(), False), progress.PlainProgress)
    assert isinstance(progress.make_progress(2, io.StringIO(), True), progress.LiveProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress.make_progress(2, _Terminal()), progress.PlainProgress)


def _text(stream: _Terminal) -> str:
    """Returns all text in a terminal, without its escape codes."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def _last_frame(stream: _Terminal) -> str:
    """Returns the text from the last table on; a slow machine may redraw the table at any time."""
    text = _text(stream)
    return text[text.rindex("NashConv") :]


def test_live_table_shows_the_latest_rows_and_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    stream = _Terminal()
    with progress.make_progress(20, stream, True) as display:
        for iteration in range(12):
            display.start_iteration(iteration, "training [crossq]")
            display.update(_row(iteration, players=3, nash_conv=0.75))
        display.note("saved [red]here[/red]")
        stream.seek(0)
        stream.truncate()
    last = _last_frame(stream)
    shown = [int(line.split()[0]) for line in last.splitlines() if "2.5 / 2.5 / 2.5 %" in line]
    assert shown == [4, 5, 6, 7, 8, 9, 10, 11]
    assert "0.7500" in last
    assert "12 / 12 / 12" in last
    assert "11/20" in last
    assert "elapsed" in last
    assert "done" in last


def test_live_note_and_text_are_not_read_as_markup() -> None:
    stream = _Terminal()
    with progress.make_progress(2, stream, True) as display:
        display.start_iteration(1, "training [red]")
        display.note("saved [red]here[/red]")
    assert "training [red]" in _text(stream)
    assert "saved [red]here[/red]" in _text(stream)


def test_numbers_are_never_cut_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "76")
    stream = _Terminal()
    with progress.make_progress(20, stream, True) as display:
        display.update(_row(11, players=4))
        stream.seek(0)
        stream.truncate()
    assert "…" not in _text(stream)
    assert _last_frame(stream).count("2.5") == 4


def test_terminal_is_restored_after_an_exception() -> None:
    stdout, stderr = sys.stdout, sys.stderr
    stream = _Terminal()
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


def _bounded(row: dict[str, float], error: float = 0.03) -> dict[str, float]:
    return row | {"nash_conv_stderr": error, "exploitability_stderr": error / 2}


def test_plain_lines_wait_for_lower_bounds_and_show_their_errors() -> None:
    stream = io.StringIO()
    with progress.make_progress(20, stream) as display:
        display.update(_bounded(_row(0, nash_conv=math.nan, gap=math.nan)))
        assert stream.getvalue() == ""
        display.update(_bounded(_row(0, nash_conv=4.75, gap=math.nan)))
        display.update(_bounded(_row(1, nash_conv=math.nan, gap=math.nan)))
        display.update(_bounded(_row(1, nash_conv=123456.0, gap=math.nan), 98765.0))
    first, second = stream.getvalue().splitlines()
    assert " ".join(first.split()) == (
        "iteration 0/20 NashConv >= 4.7500 ± 0.0300 exploitability >= 2.3750 ± 0.0150 populations 1 / 1 0.0 s"
    )
    assert len(first) == len(second)


def test_a_live_row_is_replaced_if_more_is_known_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    stream = _Terminal()
    with progress.make_progress(20, stream, True) as display:
        display.update(_bounded(_row(0, nash_conv=math.nan, gap=math.nan)))
        display.update(_bounded(_row(0, nash_conv=0.25, gap=math.nan)))
        display.update(_bounded(_row(1, nash_conv=math.nan, gap=math.nan)))
        stream.seek(0)
        stream.truncate()
    lines = [line.split() for line in _last_frame(stream).splitlines()]
    assert [line[0] for line in lines if line and line[0] in ("0", "1")] == ["0", "1"]
    assert ">= 0.2500 ± 0.0300" in _last_frame(stream)

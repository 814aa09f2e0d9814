"""Tests of acme_psro.display.progress."""

import io
import math
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

import pytest

from acme_psro.display import progress
from acme_psro.display.live_progress import LiveProgress
from tests.acme_psro.display.rows import Terminal, bounded, make_row

_ROOT = str(pathlib.Path(__file__).parents[3])


def test_plain_lines_show_the_numbers_aligned_without_escape_codes() -> None:
    stream = io.StringIO()
    with progress.make_progress(20, stream) as display:
        display.start_iteration(0, "initial population")
        display.update(make_row(0, nash_conv=4.75, gap=math.nan))
        display.start_iteration(9, "training")
        display.update(make_row(9))
        display.update(make_row(10, nash_conv=1e-9, gap=1.5))
        display.note("report [in] report.html")
    *lines, note = stream.getvalue().splitlines()
    assert note == "report [in] report.html"
    assert len(lines) == 3
    assert "\x1b" not in stream.getvalue()
    assert " ".join(lines[1].split()) == (
        "iteration 9/20 NashConv 0.5000 exploitability 0.2500 best-response gap 2.5 / 2.5 % "
        "populations 10 / 10 1 min 52 s about 2 min 18 s left"
    )
    assert "gap           - / -  " in lines[0]
    assert "150.0 / 150.0 %" in lines[2]
    assert len({len(line.partition("about")[0].rstrip()) for line in lines}) == 1
    assert len({line.index("populations") for line in lines}) == 1


def test_populations_of_a_fixed_size_show_how_many_members_differ() -> None:
    stream = io.StringIO()
    with progress.make_progress(20, stream) as display:
        for iteration, size in ((1, 5.0), (12, 64.0)):
            fixed = {"effective_size": size, "population_0": 64, "population_1": 64}
            display.update(make_row(iteration) | fixed)
    lines = stream.getvalue().splitlines()
    assert "effective size  5 of 64 " in lines[0] and "effective size 64 of 64 " in lines[1]
    assert "populations" not in stream.getvalue()


def test_rows_of_which_nothing_will_be_known_are_shown_at_once() -> None:
    stream = io.StringIO()
    with progress.make_progress(20, stream) as display:
        for iteration, drift in ((1, math.nan), (12, 0.125)):
            unknown = {"effective_size": 3.0, "payoff_drift": drift, "nash_conv_stderr": math.nan}
            display.update(make_row(iteration, nash_conv=math.nan) | unknown)
        # Exploiters of the last mixture are trained at the end.
        display.update(make_row(12) | unknown)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2 and "payoff drift         -  effective size" in lines[0]
    assert " ".join(lines[1].split()).startswith(
        "iteration 12/20 exploitability unknown payoff drift 0.1250 effective size 3 of 13"
    )
    assert len({line.index("effective") for line in lines}) == 1


def _wait_for(stream: io.StringIO, pattern: str) -> None:
    deadline = time.monotonic() + 60
    while not re.search(pattern, stream.getvalue()):
        assert time.monotonic() < deadline, stream.getvalue()
        time.sleep(0.005)


def test_a_silent_task_is_shown_again_and_again_until_the_end() -> None:
    stream = io.StringIO()
    with progress.PlainProgress(20, stream, heartbeat_seconds=0.02) as display:
        _wait_for(stream, r"iteration 0: starting, for \d+\.\d s so far\n")
        display.update(make_row(8))
        display.update(make_row(10))
        display.start_iteration(
            11, "training", lambda: ["player 0's program: 5 of 7", "player 1's program: -"]
        )
        _wait_for(
            stream,
            r"iteration 11: training, for \d+\.\d s so far, about 2 min 05 s left\n"
            r"  player 0's program: 5 of 7\n  player 1's program: -\n",
        )
    shown = stream.getvalue()
    time.sleep(0.05)
    assert stream.getvalue() == shown
    assert not any(thread.name == "acme_psro_heartbeat" for thread in threading.enumerate())


def test_lines_that_follow_each_other_need_no_heartbeat() -> None:
    stream = io.StringIO()
    # Ten lines take longer than the heartbeat's time, but far less than it between two of them.
    with progress.PlainProgress(20, stream, heartbeat_seconds=2.0) as display:
        for iteration in range(10):
            display.update(make_row(iteration))
            time.sleep(0.25)
    assert "so far" not in stream.getvalue()


def test_a_row_that_is_completed_later_is_printed_once() -> None:
    stream = io.StringIO()
    with progress.make_progress(20, stream) as display:
        display.update(make_row(1))
        display.update(make_row(1) | {"population_exploitability": 0.25})
    assert stream.getvalue().count("iteration") == 1


def test_plain_lines_are_flushed() -> None:
    flushed: list[str] = []

    class Stream(io.StringIO):
        def flush(self) -> None:
            flushed.append(self.getvalue())

    with progress.make_progress(1, Stream()) as display:
        display.update(make_row(1))
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
    assert isinstance(progress.make_progress(2, Terminal()), LiveProgress)
    assert isinstance(progress.make_progress(2, io.StringIO()), progress.PlainProgress)
    assert isinstance(progress.make_progress(2, Terminal(), False), progress.PlainProgress)
    assert isinstance(progress.make_progress(2, io.StringIO(), True), LiveProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress.make_progress(2, Terminal()), progress.PlainProgress)


def test_plain_lines_wait_for_lower_bounds_and_show_their_errors() -> None:
    stream = io.StringIO()
    with progress.make_progress(20, stream) as display:
        display.update(bounded(make_row(0, nash_conv=math.nan, gap=math.nan)))
        assert stream.getvalue() == ""
        display.update(bounded(make_row(0, nash_conv=4.75, gap=math.nan)))
        display.update(bounded(make_row(1, nash_conv=math.nan, gap=math.nan)))
        display.update(bounded(make_row(1, nash_conv=123456.0, gap=math.nan), 98765.0))
    first, second = stream.getvalue().splitlines()
    assert " ".join(first.split()) == (
        "iteration 0/20 NashConv >= 4.7500 ± 0.0300 exploitability >= 2.3750 ± 0.0150 populations 1 / 1 0.0 s"
    )
    assert len(first) == second.index("  about 3 min 58 s left")

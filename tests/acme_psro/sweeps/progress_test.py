"""Tests of acme_psro.sweeps.progress."""

import io

import pytest

from acme_psro.sweeps.progress import Counts, RemainingTime, SweepProgress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("counts", "left", "said"),
    [
        (Counts(9, 3, 2, 0, 0.4), None, "3 of 9 runs done, 2 running"),
        (Counts(9, 3, 2, 1, 0.4), 65.0, "3 of 9 runs done, 2 running, 1 failed, about 1 min 05 s left"),
    ],
)
def test_counts_are_one_line(counts: Counts, left: float | None, said: str) -> None:
    assert counts.describe(left) == said


def test_time_left_follows_from_the_work_of_this_process() -> None:
    left = RemainingTime(100.0, 0.5)
    assert left.seconds(105.0, 0.6) is None and left.seconds(120.0, 0.5) is None
    # A quarter of the work in 20 s leaves another quarter.
    assert left.seconds(120.0, 0.75) == pytest.approx(20.0)
    assert left.seconds(200.0, 1.0) == 0.0


def test_files_get_lines_for_events_and_heartbeats() -> None:
    stream = io.StringIO()
    counts = Counts(2, 0, 1, 0, 0.0)
    with SweepProgress(counts, stream) as quiet:
        quiet.show(counts, ["nash/seed_0: iteration 3"])
        quiet.note("nash/seed_0: done")
    assert stream.getvalue() == "0 of 2 runs done, 1 running\nnash/seed_0: done\n"
    with SweepProgress(counts, stream, heartbeat_seconds=0.0) as display:
        display.show(counts._replace(done=1), ["nash/seed_1: iteration 3"])
    assert stream.getvalue().endswith("1 of 2 runs done, 1 running\n  nash/seed_1: iteration 3\n")


def test_terminals_get_a_display_that_is_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = _Terminal()
    with SweepProgress(Counts(20, 0, 0, 0, 0.0), stream) as display:
        display.show(Counts(20, 1, 14, 0, 0.1), [f"[run {index}]: starting" for index in range(14)])
        display.note("[nash]/seed_0: done")
    shown = stream.getvalue()
    for text in (
        "1 of 20 runs done, 14 running",
        "[run 10]: starting",
        ".. and 3 more",
        "[nash]/seed_0: done",
    ):
        assert text in shown
    assert "[run 12]" not in shown

"""Tests of the estimate of the time that a run still needs."""

import math

import pytest

from acme_psro.agent_runs.pace import Pace


def make(total: int, *marks: tuple[float, int]) -> Pace:
    pace = Pace(total)
    for now, steps in marks:
        pace.add(now, steps)
    return pace


def test_time_left_follows_from_the_steps_made_so_far() -> None:
    assert make(1_000, (10.0, 100), (20.0, 200)).left(20.0) == pytest.approx(80.0)
    assert make(1_000, (10.0, 900), (20.0, 1_010)).left(20.0) == 0.0


@pytest.mark.parametrize("marks", [(), ((0.0, 0),), ((0.0, 5), (10.0, 5))])
def test_too_little_progress_tells_nothing(marks: tuple[tuple[float, int], ...]) -> None:
    assert math.isnan(make(1_000, *marks).left(30.0))


def test_a_run_that_stands_still_takes_longer() -> None:
    pace = make(1_000, (0.0, 0), (10.0, 500))
    assert pace.left(40.0) == pytest.approx(4 * pace.left(10.0))


def test_only_the_last_minutes_count() -> None:
    """The first hour makes a step a second, and then the run becomes ten times faster."""
    slow = [(float(second), second) for second in range(0, 3_600)]
    fast = [(3_600.0 + second, 3_600 + 10 * second) for second in range(0, 300)]
    assert make(10_000, *slow, *fast).left(fast[-1][0]) == pytest.approx((10_000 - fast[-1][1]) / 10)


def test_a_new_start_forgets_what_was_before() -> None:
    pace = make(1_000, (0.0, 0), (100.0, 10))
    pace.restart()
    assert math.isnan(pace.left(100.0))
    pace.add(100.0, 10)
    pace.add(110.0, 20)
    assert pace.left(110.0) == pytest.approx(980.0)


def test_many_reports_cost_little_memory() -> None:
    pace = make(10**9, *((index / 1_000, index) for index in range(400_000)))
    assert len(pace._marks) < 130
    assert pace.left(400.0) == pytest.approx((10**9 - 400_000) / 1_000, rel=0.02)

"""Tests of acme_psro.display.remaining."""

import pytest

from acme_psro.display.remaining import RemainingTime


def _after(iterations: int, *rows: tuple[int, float]) -> RemainingTime:
    remaining = RemainingTime(iterations)
    for iteration, seconds in rows:
        remaining.add({"iteration": iteration, "wall_seconds": seconds})
    return remaining


@pytest.mark.parametrize("rows", [(), ((0, 3.0),), ((0, 3.0), (0, 4.0))])
def test_no_time_is_known_before_an_iteration(rows: tuple[tuple[int, float], ...]) -> None:
    remaining = _after(10, *rows)
    assert remaining.seconds() is None
    assert remaining.text(", ") == ""


def test_the_latest_iterations_count() -> None:
    # Six iterations of 1 s and five of 20 s.
    rows = [(i, float(i)) for i in range(7)] + [(7 + i, 6 + 20.0 * (i + 1)) for i in range(5)]
    assert _after(41, *rows).seconds() == 30 * 20
    assert _after(41, *rows).text(", ") == ", about 10 min 00 s left"


def test_the_first_iteration_which_compiles_does_not_count_beside_others() -> None:
    assert _after(10, (0, 0.0), (1, 60.0)).seconds() == 9 * 60
    assert _after(10, (0, 0.0), (1, 60.0), (2, 62.0)).seconds() == 8 * 2


def test_a_row_that_is_completed_later_replaces_itself() -> None:
    assert _after(10, (0, 1.0), (1, 3.0), (1, 5.0)).seconds() == 9 * 4


@pytest.mark.parametrize(("iterations", "seconds"), [(2, 0.0), (1, 0.0), (4, 8.0)])
def test_little_time_is_not_worth_a_word(iterations: int, seconds: float) -> None:
    remaining = _after(iterations, (0, 0.0), (2, 8.0))
    assert (remaining.seconds(), remaining.text(", ")) == (seconds, "")

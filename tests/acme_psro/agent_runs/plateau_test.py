"""Tests of what counts as no longer getting better."""

from __future__ import annotations

import math

import numpy as np
import pytest

from acme_psro.agent_runs.plateau import Plateau, has_plateaued


@pytest.mark.parametrize(
    ("returns", "patience", "min_improvement", "expected"),
    [
        # Fewer than twice as many as patience asks for.
        ([], 2, 0.0, False),
        ([1.0, 1.0, 1.0], 2, 0.0, False),
        ([1.0, 1.0, 1.0, 1.0], 2, 0.0, True),
        ([0.0, 1.0, 2.0, 3.0], 2, 0.0, False),
        # It falls.
        ([3.0, 2.0, 1.0, 0.0], 2, 0.0, True),
        # The mean rises by 2: more than 1.9, not more than 2.
        ([0.0, 1.0, 2.0, 3.0], 2, 1.9, False),
        ([0.0, 1.0, 2.0, 3.0], 2, 2.0, True),
        # What was long ago does not matter.
        ([-9.0, 0.0, 9.0, 5.0, 5.0, 5.0, 5.0], 2, 0.0, True),
        # One that is better than all is not enough where the others are worse.
        ([5.0, 5.0, 5.0, 4.0, 7.0, 4.0], 3, 0.0, True),
    ],
)
def test_means_of_the_last_evaluations_are_compared(
    returns: list[float], patience: int, min_improvement: float, expected: bool
) -> None:
    assert has_plateaued(returns, [0.0] * len(returns), Plateau(patience, min_improvement)) == expected


def test_noise_that_may_hide_an_improvement_is_no_plateau() -> None:
    """Means of 4 evaluations: standard error of the difference is error * sqrt(8) / 4."""
    flat, plateau = [1.0] * 8, Plateau(4, 0.1)
    largest = 0.1 * 4 / math.sqrt(8)
    assert has_plateaued(flat, [0.99 * largest] * 8, plateau)
    assert not has_plateaued(flat, [1.01 * largest] * 8, plateau)
    assert has_plateaued([9.0, *flat], [100.0, *[0.99 * largest] * 8], plateau)


def test_nothing_is_concluded_from_errors_that_are_unknown() -> None:
    assert not has_plateaued([1.0] * 4, [math.nan] * 4, Plateau(2, 10.0))


def test_runs_that_improve_go_on_and_flat_ones_end() -> None:
    """200 runs of 60 noisy evaluations: rising by 5 standard errors a window, and not at all."""
    rng = np.random.default_rng(0)
    plateau, error = Plateau(5), 0.2
    window_error = error * math.sqrt(2 / 5)

    def ends_at(slope: float) -> int:
        returns = slope * np.arange(60) + rng.normal(0, error, 60)
        ends = (n for n in range(1, 61) if has_plateaued(returns[:n], [error] * n, plateau))
        return next(ends, 61)

    rising = [ends_at(5 * window_error / 5) for _ in range(200)]
    flat = [ends_at(0.0) for _ in range(200)]
    assert np.mean(np.array(rising) == 61) > 0.97
    assert np.mean(np.array(flat) < 61) > 0.9
    assert min(rising + flat) >= 10


@pytest.mark.parametrize(
    ("patience", "min_improvement", "message"),
    [
        (1, 0.0, "--plateau_patience must be 0, for none, or at least 2 evaluations, not 1"),
        (3, -0.1, "--plateau_min_improvement must be at least 0"),
        (3, math.nan, "--plateau_min_improvement must be at least 0"),
        (3, math.inf, "--plateau_min_improvement must be at least 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(patience: int, min_improvement: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Plateau(patience, min_improvement)

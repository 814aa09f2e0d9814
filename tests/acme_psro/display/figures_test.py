"""Tests of acme_psro.display.figures."""

import math

import numpy as np
import pytest

from acme_psro.display import figures


def _rows(gaps: list[float], seconds: float = 1.0, episodes: float = 0.0) -> list[dict[str, float]]:
    return [
        {
            "iteration": i,
            "wall_seconds": seconds * i,
            "episodes": episodes * i,
            "nash_conv": 0.5**i,
            "exploitability": 0.5**i,
            "relative_gap_0": gap,
            "population_0": i + 1,
        }
        for i, gap in enumerate(gaps)
    ]


def test_gaps_count_those_within_the_target() -> None:
    figure = figures.make_gaps(_rows([math.nan, figures.TARGET_GAP, 2 * figures.TARGET_GAP, 0.0]))
    assert figure is not None
    assert "2 of 3 are within 3&nbsp;%" in figure


def test_unknown_gaps_make_no_figure() -> None:
    assert figures.make_gaps(_rows([math.nan, math.nan])) is None


@pytest.mark.parametrize(
    ("seconds", "label"),
    [(179, "time (s)"), (180, "time (min)"), (10_799, "time (min)"), (10_800, "time (h)")],
)
def test_unit_of_time_follows_the_longest(seconds: float, label: str) -> None:
    over_time, _ = figures.make_convergence(_rows([0.0, 0.0], seconds))
    assert f"wall {label}" in over_time


@pytest.mark.parametrize(
    ("episodes", "label"),
    [(0, "iteration"), (1999, "episodes"), (2000, "episodes (thousands)"), (2e6, "episodes (millions)")],
)
def test_unit_of_work_follows_the_largest(episodes: float, label: str) -> None:
    _, over_work = figures.make_convergence(_rows([0.0, 0.0], episodes=episodes))
    assert f">{label}</text>" in over_work


def test_one_players_payoffs_are_one_column() -> None:
    figure = figures.make_payoffs(np.zeros((1, 3)), [np.full(3, 1 / 3)])
    assert "Expected return of player 0 for each policy." in figure


def test_the_caption_says_of_the_axis_what_was_drawn() -> None:
    rows = _rows([0.0] * 4)
    assert "is logarithmic" in figures.make_convergence(rows)[0]
    # A value of 0 has no logarithm.
    rows[-1]["population_exploitability"] = 0.0
    assert "is linear" in figures.make_convergence(rows)[0]


def test_lines_connect_known_rows_over_unknown_ones() -> None:
    whole = _rows([0.0] * 3)
    between = dict.fromkeys(("nash_conv", "exploitability"), math.nan)

    over_time, _ = figures.make_convergence([whole[0], whole[1] | between, whole[2]])

    assert over_time == figures.make_convergence([whole[0], whole[2]])[0]

"""Warnings of meta-strategies that are far from an equilibrium of the meta-game."""

import numpy as np
import pytest

from acme_psro.policies.meta_strategy import JointStrategy, MetaStrategy, ProductStrategy
from acme_psro.population_runs.meta_regret import RegretWarning, describe_large_regret

PENNIES = np.array([[[1.0, -1.0], [-1.0, 1.0]], [[-1.0, 1.0], [1.0, -1.0]]])


def _play(first: float) -> ProductStrategy:
    return ProductStrategy((np.array([first, 1 - first]), np.array([0.5, 0.5])))


@pytest.mark.parametrize(
    ("first", "is_large"),
    [(0.5, False), (0.509, False), (0.511, True), (1.0, True)],
)
def test_a_regret_above_one_percent_of_the_range_is_large(first: float, is_large: bool) -> None:
    """Player 1 gains 2 (first - 1/2), of a range of 2."""
    text = describe_large_regret("prd", PENNIES, _play(first))
    assert (text is not None) == is_large
    if first == 1.0:
        assert text is not None and "prd is no equilibrium" in text
        assert "gains 1 by" in text and "50.00% of the payoff range" in text


def test_a_large_payoff_does_not_hide_a_regret() -> None:
    payoffs = np.array([[[0.0, 0.0], [1.0, 1.0], [0.0, -1e6]]] * 2)
    played = ProductStrategy((np.array([0.5, 0.5, 0.0]), np.array([1.0, 0.0])))
    text = describe_large_regret("prd", payoffs, played)
    assert text is not None and "gains 0.5 by" in text and "50.00% of the typical payoff gap" in text


@pytest.mark.parametrize(
    ("solver", "strategy"),
    [
        # Fictitious play does not solve the meta-game.
        ("uniform", _play(1.0)),
        ("other", JointStrategy(np.array([[0, 0]]), np.ones(1))),
    ],
)
def test_answers_that_are_no_equilibrium_by_design(solver: str, strategy: MetaStrategy) -> None:
    assert describe_large_regret(solver, PENNIES, strategy) is None


def test_the_warning_is_given_once() -> None:
    lines: list[str] = []
    warning = RegretWarning("prd", lines.append)
    for iteration, first in enumerate((0.5, 0.9, 1.0)):
        warning.check(iteration, PENNIES, _play(first))
    (line,) = lines
    assert line.startswith("iteration 1: the answer of meta-solver prd") and "meta_regret" in line
    assert "\n" not in line

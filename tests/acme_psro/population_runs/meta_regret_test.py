"""Warnings of meta-strategies that are far from an equilibrium of the meta-game."""

import numpy as np
import pytest

from acme_psro.policies.meta_strategy import (
    BehaviouralStrategy,
    JointStrategy,
    MetaStrategy,
    ProductStrategy,
)
from acme_psro.population_runs.meta_regret import RegretWarning, describe_large_regret
from acme_psro.solvers.properties import PROPERTIES, Concept, Properties

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
        assert text is not None and "prd is no Nash equilibrium" in text
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
        # A coarse correlated equilibrium, and one policy for each player.
        ("other", JointStrategy(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.full(4, 0.25))),
        ("other", BehaviouralStrategy((np.ones((1, 1)), np.ones((1, 1))))),
    ],
)
def test_answers_that_are_no_equilibrium_by_design(solver: str, strategy: MetaStrategy) -> None:
    assert describe_large_regret(solver, PENNIES, strategy) is None


@pytest.mark.parametrize(("solver", "gain"), [("max_gini_cce", None), ("max_gini_ce", 0.5)])
def test_a_joint_distribution_is_measured_by_its_own_concept(
    solver: str, gain: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rock, paper, scissors with the diagonal paying 0: drawing the three ties evenly is a CCE, and no CE."""
    concept = Concept.CCE if gain is None else Concept.CE
    monkeypatch.setitem(PROPERTIES, solver, Properties(concept=concept, is_joint=True))
    # Against a uniform opponent every policy earns 0; told to play rock against rock, paper earns 1/2.
    rows = 0.5 * np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
    ties = JointStrategy(np.array([[0, 0], [1, 1], [2, 2]]), np.full(3, 1 / 3))
    text = describe_large_regret(solver, np.stack([rows, -rows]), ties)
    assert (text is None) == (gain is None)
    assert gain is None or f"is no {concept.value} of the meta-game: a player gains {gain:.3g} " in str(text)


def test_the_warning_is_given_once() -> None:
    lines: list[str] = []
    warning = RegretWarning("prd", lines.append)
    for iteration, first in enumerate((0.5, 0.9, 1.0)):
        warning.check(iteration, PENNIES, _play(first))
    (line,) = lines
    assert line.startswith("iteration 1: the answer of meta-solver prd") and "meta_regret" in line
    assert "\n" not in line

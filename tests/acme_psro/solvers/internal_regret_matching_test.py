"""Internal regret matching: its bound, which swaps never pass, and its approach to correlated equilibria."""

from __future__ import annotations

import numpy as np
import pytest

from acme_psro.meta_game.payoffs import earned_against, meta_regret, own_tables, unit_payoffs
from acme_psro.meta_game.profiles import recommendation_gains
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from acme_psro.solvers import internal_regret_matching, joint_regret_matching
from acme_psro.solvers.certificates import share_of_range
from acme_psro.solvers.properties import Concept

CHICKEN = np.array([[[0, 7], [2, 6]], [[0, 2], [7, 6]]], float)
# Its CCE of maximum Gini is no CE.
SQUARE = np.array([[[3, 4, 0], [1, 2, 2], [1, 1, 0]], [[3, 4, 0], [3, 0, 0], [3, 0, 3]]], float)


def _random(sizes: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((len(sizes), *sizes))


GAMES = [CHICKEN, SQUARE, _random((4, 5), 9), _random((3, 3, 3), 10)]


@pytest.mark.parametrize("payoffs", GAMES)
@pytest.mark.parametrize("rounds", [1, 7, 500])
def test_swaps_gain_what_regrets_say(payoffs: np.ndarray, rounds: int) -> None:
    joint, regrets = internal_regret_matching.play(payoffs, rounds)
    gains = recommendation_gains(unit_payoffs(payoffs), joint)
    for gain, own in zip(gains, regrets, strict=True):
        assert gain == pytest.approx(np.maximum(own.max(axis=1), 0.0).sum() / rounds, abs=1e-10)


@pytest.mark.parametrize("payoffs", GAMES)
def test_average_joint_play_approaches_a_correlated_equilibrium(payoffs: np.ndarray) -> None:
    found = [
        share_of_range(payoffs, internal_regret_matching.solve(payoffs, iterations=rounds), Concept.CE)
        for rounds in (50, 2000)
    ]
    assert found[1] <= 0.02 and found[1] <= found[0]


def test_regret_of_whole_strategies_is_not_enough() -> None:
    coarse = joint_regret_matching.hedge(SQUARE, iterations=2000)
    assert meta_regret(SQUARE, coarse).max() < 0.05


@pytest.mark.parametrize("payoffs", GAMES)
@pytest.mark.parametrize("rounds", [1, 7, 500])
def test_hedge_keeps_its_bound(payoffs: np.ndarray, rounds: int) -> None:
    """A deviation gains at most `2 sqrt(T log(n) / 2) + sqrt(log(n) / 8)` in T rounds of unit payoffs."""
    unit = unit_payoffs(payoffs)
    joint = joint_regret_matching.hedge(payoffs, iterations=rounds)
    for gain, size in zip(meta_regret(unit, joint), payoffs.shape[1:], strict=True):
        log = np.log(size)
        assert gain <= (2.0 * np.sqrt(rounds * log / 2.0) + np.sqrt(log / 8.0)) / rounds + 1e-12


def test_a_strategy_leaves_positive_regrets_balanced() -> None:
    regrets = np.random.default_rng(0).standard_normal((6, 6))
    np.fill_diagonal(regrets, 0.0)
    found = internal_regret_matching._unchanged(regrets)
    rates = np.maximum(regrets, 0.0)
    assert found.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(found @ rates, found * rates.sum(axis=1), atol=1e-7)
    np.testing.assert_array_equal(internal_regret_matching._unchanged(-np.ones((3, 3))), np.full(3, 1 / 3))


def test_certificates_tell_equilibria_from_others() -> None:
    """A traffic light is a CE of chicken; the product of its marginals is not even a CCE."""
    light = JointStrategy(np.array([[0, 1], [1, 0]]), np.array([0.5, 0.5]))
    even = ProductStrategy((np.full(2, 0.5), np.full(2, 0.5)))
    assert _violation(light) == pytest.approx(-0.5) and _violation(even) == pytest.approx(0.25)
    assert recommendation_gains(CHICKEN, light).max() == 0.0
    assert meta_regret(CHICKEN, even).max() == pytest.approx(0.25)
    thirds = JointStrategy(np.array([[0, 1], [1, 0], [1, 1]]), np.full(3, 1 / 3))
    assert recommendation_gains(CHICKEN, thirds).max() == 0.0
    assert _violation(thirds) == pytest.approx(-1 / 3)


def _violation(strategy: JointStrategy | ProductStrategy) -> float:
    """Returns the most that a policy gains over chicken's joint play: below 0 if all of them lose."""
    cells = np.zeros((2, 2))
    if isinstance(strategy, JointStrategy):
        cells[tuple(strategy.profiles.T)] = strategy.probabilities
    else:
        cells = np.multiply.outer(*strategy.marginals)
    gains = []
    for player, table in enumerate(CHICKEN):
        others = cells.sum(axis=player)
        gains.append((own_tables(CHICKEN)[player] @ others - (table * cells).sum()).max())
    return float(max(gains))


@pytest.mark.parametrize("rounds", [0, -3])
def test_bad_input(rounds: int) -> None:
    with pytest.raises(ValueError, match=f"regret_matching_ce: iterations is {rounds}; give 1 or more"):
        internal_regret_matching.solve(CHICKEN, iterations=rounds)
    with pytest.raises(ValueError, match="NaN"):
        internal_regret_matching.solve(np.full((2, 2, 2), np.nan))


def test_regrets_are_those_of_single_rounds() -> None:
    """In the first round all strategies are even."""
    unit = unit_payoffs(SQUARE)
    _, regrets = internal_regret_matching.play(SQUARE, 1)
    even = [np.full(3, 1 / 3)] * 2
    for player, table in enumerate(own_tables(unit)):
        earned = earned_against(table, even, player)
        np.testing.assert_allclose(regrets[player], (earned[None] - earned[:, None]) / 3, atol=1e-12)

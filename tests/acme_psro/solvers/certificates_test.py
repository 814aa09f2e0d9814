"""Certificates of meta-strategies, and iterative solvers that run on until theirs is good."""

import numpy as np
import pytest

from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.solvers import SOLVERS, prd, regret_matching
from acme_psro.solvers.certificates import (
    embed,
    find_undominated,
    share_of_gap,
    share_of_range,
    typical_gaps,
)

CHICKEN = np.array([[[0.0, 7.0], [2.0, 6.0]], [[0.0, 2.0], [7.0, 6.0]]])
BATTLE_OF_THE_SEXES = np.array([[[3.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 3.0]]])
# The middle policy dominates the others; one payoff is ten thousand times as large as the gaps.
OUTLIER = np.stack([np.array([[-1.0, -1, -1], [0, 0, 0], [-1, -1, -10000]])] * 2)
# Degenerate games on which enumeration of supports and Lemke-Howson were reported to fail.
DEGENERATE = {
    "mixed": np.array([[[3.0, 3], [2, 5], [0, 6]], [[3, 2], [2, 6], [3, 1]]]),
    "many": -np.array(
        [
            [[0.0, 0, 6, 0, 0], [0, 0, 3, 2, 1], [4, 3, 0, 0, 1]],
            [[3, 0, 2, 1, 0], [0, 2, 0, 0, 4], [4, 0, 2, 4, 4]],
        ]
    ),
    "almost": np.stack(
        [
            sign * np.array([[-100.0, 0, 0, -100], [0, 0, 0, -100], [-100, 0, 0, 0], [0, 0, 0, -33.3333333]])
            for sign in (1, -1)
        ]
    ),
}


def _zero_sum_with_outlier(seed: int, outlier: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    payoffs = rng.standard_normal((10, 12))
    payoffs[tuple(rng.integers(0, 10, 2))] = outlier
    return np.stack([payoffs, -payoffs])


def test_shares_of_range_and_gap() -> None:
    # Player 0 gains 7 - 6 = 1 by its first policy, and its payoffs range from 0 to 7.
    pure = ProductStrategy((np.array([0.0, 1.0]), np.array([0.0, 1.0])))
    assert share_of_range(CHICKEN, pure) == pytest.approx(1 / 7)
    np.testing.assert_allclose(typical_gaps(CHICKEN), [1.5, 1.5])
    assert share_of_gap(CHICKEN, pure) == pytest.approx(1 / 1.5)
    # A player's scale is its own.
    scaled = CHICKEN * np.array([1.0, 1e9])[:, None, None]
    assert share_of_gap(scaled, pure) == pytest.approx(1 / 1.5)
    np.testing.assert_array_equal(typical_gaps(np.ones((2, 3, 3))), [0.0, 0.0])
    assert share_of_gap(np.ones((2, 2, 2)), pure) == 0.0
    np.testing.assert_allclose(typical_gaps(OUTLIER), [1.0, 9999.0])


def test_an_outlier_hides_a_regret_in_the_range_but_not_in_the_gap() -> None:
    played = ProductStrategy((np.array([0.3, 0.7, 0.0]), np.array([0.5, 0.5, 0.0])))
    assert share_of_range(OUTLIER, played) < 1e-4
    assert share_of_gap(OUTLIER, played) == pytest.approx(0.3)


def test_strict_dominance_is_iterated() -> None:
    # Column 1 goes first; only then row 1, and then column 0 or 2.
    rows = np.array([[1.0, 5.0, 1.0], [0.0, 9.0, 0.0], [1.0, 0.0, 1.0]])
    columns = np.array([[3.0, 0.0, 2.0], [4.0, 1.0, 2.0], [2.0, 0.0, 1.0]])
    kept = find_undominated(np.stack([rows, columns]))
    assert [own.tolist() for own in kept] == [[0, 2], [0]]
    embedded = embed(ProductStrategy((np.array([0.25, 0.75]), np.ones(1))), kept, (3, 3))
    assert [own.tolist() for own in embedded.marginals] == [[0.25, 0.0, 0.75], [1.0, 0.0, 0.0]]


def test_weak_dominance_removes_nothing_and_three_players_are_allowed() -> None:
    assert [len(own) for own in find_undominated(np.zeros((3, 2, 3, 4)))] == [2, 3, 4]
    contributions = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1, 2], indexing="ij"))
    payoffs = 0.5 * contributions.sum(axis=0) - 1.0 * contributions
    assert [own.tolist() for own in find_undominated(payoffs)] == [[0], [0], [0]]


@pytest.mark.parametrize("name", ["prd", "regret_matching"])
def test_one_large_payoff_does_not_hide_dominance(name: str) -> None:
    rows, _ = SOLVERS[name](OUTLIER).marginals
    np.testing.assert_allclose(rows, [0.0, 1.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("outlier", [1e3, -1e4, 1e8, -1e8])
@pytest.mark.parametrize("seed", [2, 3])
def test_regret_matching_with_one_large_payoff(seed: int, outlier: float) -> None:
    payoffs = _zero_sum_with_outlier(seed, outlier)
    assert share_of_gap(payoffs, regret_matching.solve(payoffs)) <= 1e-4
    assert share_of_gap(payoffs, regret_matching.solve(payoffs, iterations=1000)) > 1e-3


@pytest.mark.parametrize("game", sorted(DEGENERATE))
def test_regret_matching_of_degenerate_games(game: str) -> None:
    payoffs = DEGENERATE[game]
    assert share_of_gap(payoffs, regret_matching.solve(payoffs)) <= 1e-4


@pytest.mark.parametrize("noise", [0.0, 1e-13])
@pytest.mark.parametrize("seed", range(3))
def test_prd_does_not_average_two_equilibria(seed: int, noise: float) -> None:
    """In chicken, it leaves an unstable equilibrium for one of the two others."""
    payoffs = CHICKEN + noise * np.random.default_rng(seed).standard_normal(CHICKEN.shape)
    assert share_of_gap(payoffs, prd.solve(payoffs)) <= 0.01
    if noise:
        # Without noise it depends on a processor's rounding when it leaves.
        assert share_of_gap(payoffs, prd.solve(payoffs, iterations=5000)) > 0.05


def test_prd_of_the_battle_of_the_sexes() -> None:
    assert share_of_gap(BATTLE_OF_THE_SEXES, prd.solve(BATTLE_OF_THE_SEXES)) <= 0.01


@pytest.mark.parametrize(
    ("name", "rounds"),
    [("prd", 5000), ("regret_matching", 1000)],
)
def test_answers_with_little_regret_are_not_touched(name: str, rounds: int) -> None:
    rows = np.array([[0.0, -1, 1, 1], [1, 0, -1, -1], [-1, 1, 0, -1], [-1, 1, 1, 0]])
    payoffs = np.stack([rows, -rows])
    plain, solved = SOLVERS[name](payoffs, iterations=rounds), SOLVERS[name](payoffs)
    for one, other in zip(plain.marginals, solved.marginals, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["prd", "regret_matching"])
@pytest.mark.parametrize("seed", range(2))
def test_restarts_never_add_regret(name: str, seed: int) -> None:
    payoffs = np.random.default_rng(seed).standard_normal((3, 4, 5, 3))
    rounds = {"prd": 5000, "regret_matching": 1000}[name]
    plain, solved = SOLVERS[name](payoffs, iterations=rounds), SOLVERS[name](payoffs)
    assert share_of_gap(payoffs, solved) <= share_of_gap(payoffs, plain)

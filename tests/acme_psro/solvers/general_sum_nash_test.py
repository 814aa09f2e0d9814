"""Nash equilibria of bimatrix games: known games, degenerate ones, duplicates, another implementation."""

import time

import nashpy
import numpy as np
import pytest

from acme_psro.meta_game.payoffs import meta_regret, unit_payoffs, value
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.solvers import general_sum_nash, lemke_howson, nash
from acme_psro.solvers.certificates import share_of_gap

CHICKEN = np.array([[[0.0, 7.0], [2.0, 6.0]], [[0.0, 2.0], [7.0, 6.0]]])
BATTLE_OF_THE_SEXES = np.array([[[3.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 3.0]]])
PRISONERS_DILEMMA = np.array([[[5.0, 0.0], [10.0, 1.0]], [[5.0, 10.0], [0.0, 1.0]]])
# Reported to fail, or to have equilibria that are missed, elsewhere.
DEGENERATE = {
    "mixed": np.array([[[3.0, 3], [2, 5], [0, 6]], [[3, 2], [2, 6], [3, 1]]]),
    "mixed, row 0 is a tie": np.array([[[3.0, 3], [2, 5], [0, 6]], [[3, 3], [2, 6], [3, 1]]]),
    "many": -np.array(
        [
            [[0.0, 0, 6, 0, 0], [0, 0, 3, 2, 1], [4, 3, 0, 0, 1]],
            [[3, 0, 2, 1, 0], [0, 2, 0, 0, 4], [4, 0, 2, 4, 4]],
        ]
    ),
    "outlier": np.stack([np.array([[-1.0, -1, -1], [0, 0, 0], [-1, -1, -10000]])] * 2),
    "zeros": np.zeros((2, 2, 2)),
    "ties": np.ones((2, 3, 4)),
}


def assert_equilibrium(payoffs: np.ndarray, found: ProductStrategy) -> None:
    assert tuple(len(own) for own in found.marginals) == payoffs.shape[1:]
    for marginal in found.marginals:
        assert (marginal >= 0.0).all()
        assert marginal.sum() == pytest.approx(1.0, abs=1e-12)
    assert share_of_gap(payoffs, found) <= 1e-6


@pytest.mark.parametrize(
    ("payoffs", "rows", "columns"),
    [
        # Both pure equilibria have the same welfare; the one with weight on the first row comes first.
        (CHICKEN, [1, 0], [0, 1]),
        (BATTLE_OF_THE_SEXES, [1, 0], [1, 0]),
        (PRISONERS_DILEMMA, [0, 1], [0, 1]),
        # Matching pennies in which the players have different stakes: each mixes by the other's payoffs.
        (np.array([[[3.0, 0], [0, 1]], [[0, 2.0], [1, 0]]]), [1 / 3, 2 / 3], [1 / 4, 3 / 4]),
        # Coordination: the better one of two equilibria.
        (np.array([[[1.0, 0], [0, 2]], [[1.0, 0], [0, 2]]]), [0, 1], [0, 1]),
        # A single row: the column player's best policy.
        (np.array([[[0.0, 0, 0]], [[1.0, 5, 2]]]), [1], [0, 1, 0]),
        (np.array([[[1.0], [5], [2]], [[0.0], [0], [0]]]), [0, 1, 0], [1]),
        (np.array([[[4.0]], [[-2.0]]]), [1], [1]),
    ],
)
def test_known_equilibria(payoffs: np.ndarray, rows: list[float], columns: list[float]) -> None:
    found = general_sum_nash.solve(payoffs)
    np.testing.assert_allclose(found.marginals[0], rows, atol=1e-12)
    np.testing.assert_allclose(found.marginals[1], columns, atol=1e-12)


@pytest.mark.parametrize("game", sorted(DEGENERATE))
def test_degenerate_games(game: str) -> None:
    assert_equilibrium(DEGENERATE[game], general_sum_nash.solve(DEGENERATE[game]))


@pytest.mark.parametrize("seed", range(40))
def test_small_whole_numbers_which_are_full_of_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(1, 7, 2)
    payoffs = rng.integers(-2, 3, (2, rows, columns)).astype(float)
    assert_equilibrium(payoffs, general_sum_nash.solve(payoffs))


@pytest.mark.parametrize("noise", [0.0, 1e-13, 1e-9, 1e-4])
def test_duplicates_and_near_duplicates(noise: float) -> None:
    rng = np.random.default_rng(0)
    payoffs = rng.standard_normal((2, 6, 6))[:, rng.integers(0, 6, 20)][:, :, rng.integers(0, 6, 25)]
    payoffs += noise * rng.standard_normal(payoffs.shape)
    found = general_sum_nash.solve(payoffs)
    assert meta_regret(payoffs, found).max() <= 1e-8


def test_dominated_policies_have_no_weight_however_large_an_outlier() -> None:
    rng = np.random.default_rng(1)
    payoffs = rng.standard_normal((2, 5, 5))
    payoffs[0, 0] = payoffs[0, 1] - 1.0
    payoffs[0, 0, 0] = -1e12
    found = general_sum_nash.solve(payoffs)
    assert found.marginals[0][0] == 0.0
    assert_equilibrium(payoffs[:, 1:], ProductStrategy((found.marginals[0][1:], found.marginals[1])))


@pytest.mark.parametrize("seed", range(8))
def test_is_one_of_the_equilibria_of_nashpy(seed: int) -> None:
    payoffs = np.random.default_rng(seed).standard_normal((2, 4, 5))
    found = general_sum_nash.solve(payoffs)
    # By vertices: in some of these games, none of them degenerate, its supports lead to no equilibrium.
    enumerated = list(nashpy.Game(*payoffs).vertex_enumeration())
    distances = [
        max(np.abs(own - their).max() for own, their in zip(found.marginals, each, strict=True))
        for each in enumerated
    ]
    assert min(distances) <= 1e-9


def test_zero_sum_games_have_the_value_of_the_linear_program() -> None:
    rows = np.random.default_rng(3).standard_normal((12, 9))
    payoffs = np.stack([rows, -rows])
    found, expected = general_sum_nash.solve(payoffs), nash.solve(payoffs)
    np.testing.assert_allclose(value(payoffs, found), value(payoffs, expected), atol=1e-9)


def test_order_of_players_and_policies_shifts_and_scales_do_not_matter() -> None:
    payoffs = np.random.default_rng(4).standard_normal((2, 6, 7))
    rows, columns = general_sum_nash.solve(payoffs).marginals
    swapped = general_sum_nash.solve(payoffs[::-1].transpose(0, 2, 1))
    np.testing.assert_allclose(swapped.marginals[0], columns, atol=1e-10)
    order = np.random.default_rng(5).permutation(6)
    np.testing.assert_allclose(
        general_sum_nash.solve(payoffs[:, order]).marginals[0], rows[order], atol=1e-10
    )
    moved = 3.0 * payoffs + np.array([100.0, -7.0])[:, None, None]
    np.testing.assert_allclose(general_sum_nash.solve(moved).marginals[0], rows, atol=1e-10)


def test_payoffs_beyond_floating_point_are_solved_in_whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    follow, asked = lemke_howson.follow, []

    def fail_unless_exact(
        unit: np.ndarray, label: int, max_pivots: int, exact: bool = False
    ) -> lemke_howson.Path:
        asked.append(exact)
        return follow(unit, label, max_pivots, exact) if exact else lemke_howson.Path(None, 1)

    monkeypatch.setattr(lemke_howson, "follow", fail_unless_exact)
    payoffs = np.random.default_rng(6).standard_normal((2, 6, 6))
    assert_equilibrium(payoffs, general_sum_nash.solve(payoffs))
    assert True in asked


def test_failure_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lemke_howson, "follow", lambda *_: lemke_howson.Path(None, 1))
    with pytest.raises(RuntimeError, match=r"found no equilibrium; use .* regret_matching"):
        general_sum_nash.solve(CHICKEN)
    # Wrong answers are discarded like none at all.
    wrong = (np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    monkeypatch.setattr(lemke_howson, "follow", lambda *_: lemke_howson.Path(wrong, 1))
    with pytest.raises(RuntimeError, match="found no equilibrium"):
        general_sum_nash.solve(CHICKEN)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="takes two players, these payoffs have 3"):
        general_sum_nash.solve(np.zeros((3, 2, 2, 2)))
    with pytest.raises(ValueError, match="max_pivots is 0"):
        general_sum_nash.solve(CHICKEN, max_pivots=0)


def test_fifty_policies_a_player() -> None:
    payoffs = np.random.default_rng(0).standard_normal((2, 50, 50))
    began = time.process_time()
    found = general_sum_nash.solve(payoffs)
    # A bar of one second, with room for a busy machine.
    assert time.process_time() - began < 3.0
    assert share_of_gap(unit_payoffs(payoffs), found) <= 1e-12

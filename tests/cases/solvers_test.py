"""Public complaints about solvers of matrix games as inputs, with the right answers.

Each test names the numbers of its cases in the collection of complaints. In zero-sum games only the row
player's payoffs are given.
"""

from typing import Any

import numpy as np
import pytest
import scipy.optimize

from acme_psro.meta_game.payoffs import meta_regret, value
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.solvers import SOLVERS, get_solver
from acme_psro.solvers.certificates import share_of_gap

# The most that a policy may gain, as a share of its typical gain.
CERTIFIED = {"nash": 1e-12, "max_entropy_nash": 2e-5, "regret_matching": 1e-4, "prd": 0.02}
SEGMENT = [[0, 1, 0, -1], [-1, 0, 1, 1], [0, -1, 0, 1], [1, -1, -1, 0]]
TWO_ROCKS = [[0, -1, 1, 0], [1, 0, -1, 1], [-1, 1, 0, -1], [0, -1, 1, 0]]
# Games with one equilibrium: payoffs, row, column, value.
UNIQUE: dict[str, tuple[Any, list[float], list[float], float]] = {
    "27": (
        [
            [0, -1, -1, -1, 1, -1],
            [1, 0, 1, -1, -1, -1],
            [1, -1, 0, -1, -1, 1],
            [1, 1, 1, 0, -1, -1],
            [-1, 1, 1, 1, 0, -1],
            [1, 1, -1, 1, 1, 0],
        ],
        [0, 0, 1 / 3, 0, 1 / 3, 1 / 3],
        [0, 0, 1 / 3, 0, 1 / 3, 1 / 3],
        0,
    ),
    "28": (
        [[0, -1, 1, 1], [1, 0, -1, -1], [-1, 1, 0, -1], [-1, 1, 1, 0]],
        [1 / 3, 1 / 3, 0, 1 / 3],
        [1 / 3, 1 / 3, 0, 1 / 3],
        0,
    ),
    "29": (
        [[-100, 0, 0, -100], [0, 0, 0, -100], [-100, 0, 0, 0], [0, 0, 0, -50]],
        [0, 0, 1 / 3, 2 / 3],
        [1 / 3, 0, 0, 2 / 3],
        -100 / 3,
    ),
    "29, nearly": (
        [[-100, 0, 0, -100], [0, 0, 0, -100], [-100, 0, 0, 0], [0, 0, 0, -33.3333333]],
        [0, 0, 1 / 4, 3 / 4],
        [1 / 4, 0, 0, 3 / 4],
        -25,
    ),
}
# Games of two players with their own payoffs, most of them degenerate.
GENERAL = {
    "34, many": -np.array(
        [
            [[0.0, 0, 6, 0, 0], [0, 0, 3, 2, 1], [4, 3, 0, 0, 1]],
            [[3, 0, 2, 1, 0], [0, 2, 0, 0, 4], [4, 0, 2, 4, 4]],
        ]
    ),
    "34, outlier": np.stack([np.array([[-1.0, -1, -1], [0, 0, 0], [-1, -1, -10000]])] * 2),
    "34, mixed": np.array([[[3.0, 3], [2, 5], [0, 6]], [[3, 2], [2, 6], [3, 1]]]),
    "35, zero": np.zeros((2, 2, 2)),
    "35": np.array([[[3.0, 3], [2, 5], [0, 6]], [[3, 3], [2, 6], [3, 1]]]),
    "39": np.array([[[0.0, 7], [2, 6]], [[0, 2], [7, 6]]]),
}


def zero_sum(row_payoffs: Any) -> np.ndarray:
    own = np.asarray(row_payoffs, np.float64)
    return np.stack([own, -own])


def assert_certified(name: str, payoffs: np.ndarray) -> ProductStrategy:
    """Checks that an answer consists of distributions with little regret, and returns it."""
    answer = SOLVERS[name](payoffs)
    assert tuple(map(len, answer.marginals)) == payoffs.shape[1:]
    for marginal in answer.marginals:
        assert (marginal >= 0).all()
        assert marginal.sum() == pytest.approx(1.0, abs=1e-12)
    assert share_of_gap(payoffs, answer) <= CERTIFIED[name]
    return answer


@pytest.mark.parametrize("name", sorted(CERTIFIED))
@pytest.mark.parametrize("game", sorted(UNIQUE))
def test_cases_27_28_and_29_unique_equilibria(game: str, name: str) -> None:
    row_payoffs, row, column, worth = UNIQUE[game]
    payoffs = zero_sum(row_payoffs)
    answer = assert_certified(name, payoffs)
    # What is left of a regret moves weights further than payoffs.
    tolerance = {"nash": 1e-9, "max_entropy_nash": 5e-5, "regret_matching": 1e-3, "prd": 0.02}[name]
    np.testing.assert_allclose(answer.marginals[0], row, atol=tolerance)
    np.testing.assert_allclose(answer.marginals[1], column, atol=tolerance)
    scale = np.abs(payoffs).max()
    np.testing.assert_allclose(value(payoffs, answer), [worth, -worth], atol=tolerance * scale)


@pytest.mark.parametrize("change", [0.0, 1e-6, -1e-6])
def test_case_28_the_most_random_equilibrium_does_not_jump(change: float) -> None:
    moved = np.array(SEGMENT, np.float64)
    moved[0, 1] += change
    for marginal in assert_certified("max_entropy_nash", zero_sum(moved)).marginals:
        np.testing.assert_allclose(marginal, [0.392203, 0.215594, 0.176609, 0.215594], atol=5e-5)
    for marginal in assert_certified("nash", zero_sum(moved)).marginals:
        vertices = np.array([[1 / 2, 0, 1 / 2, 0], [1 / 3, 1 / 3, 0, 1 / 3]])
        assert np.abs(vertices - marginal).max(axis=1).min() < 1e-5


@pytest.mark.parametrize("name", sorted(CERTIFIED))
def test_case_30_an_equilibrium_where_vertices_are_nearly_parallel(name: str) -> None:
    payoffs = zero_sum(
        [
            [-4.74849287, -1.41955836, -1.41955836, -2.46551608],
            [-100, -0.80877032, -0.80877032, -1.42923881],
            [-3.99960399, -1.41955836, -1.41955836, -1.42923881],
            [-2.46551608, -0.80877032, -0.80877032, -2.46551608],
        ]
    )
    row, column = assert_certified(name, payoffs).marginals
    assert row[3] >= 0.99
    assert column[0] + column[3] >= 0.99
    assert column[0] >= 0.4
    if name == "max_entropy_nash":
        np.testing.assert_allclose(column, [0.5, 0, 0, 0.5], atol=5e-5)
    answer = ProductStrategy((row, column))
    assert value(payoffs, answer)[0] == pytest.approx(-2.46551608, abs={"prd": 5e-3}.get(name, 5e-5))


def test_case_32_a_policy_that_is_there_twice_shares_its_weight() -> None:
    for order in ([0, 1, 2, 3], [3, 1, 2, 0], [1, 0, 3, 2]):
        payoffs = zero_sum(np.array(TWO_ROCKS)[np.ix_(order, order)])
        expected = np.array([1 / 6, 1 / 3, 1 / 3, 1 / 6])[order]
        for marginal in assert_certified("max_entropy_nash", payoffs).marginals:
            np.testing.assert_allclose(marginal, expected, atol=5e-5)
        assert_certified("nash", payoffs)
    for marginal in assert_certified("max_entropy_nash", np.zeros((2, 3, 3))).marginals:
        np.testing.assert_allclose(marginal, 1 / 3, atol=1e-9)


@pytest.mark.parametrize("name", ["prd", "regret_matching"])
@pytest.mark.parametrize("game", sorted(GENERAL))
def test_cases_34_35_and_39_degenerate_games_have_certified_answers(game: str, name: str) -> None:
    assert_certified(name, GENERAL[game])


@pytest.mark.parametrize("noise", [0.0, 1e-13])
def test_case_39_chicken(noise: float) -> None:
    payoffs = GENERAL["39"] + noise * np.random.default_rng(0).standard_normal((2, 2, 2))
    marginals = assert_certified("regret_matching", payoffs).marginals
    # The mixed equilibrium is left for one of the two pure ones if payoffs are not quite symmetric.
    if not noise:
        np.testing.assert_allclose(marginals, [[1 / 3, 2 / 3]] * 2, atol=1e-4)
    assert meta_regret(payoffs, SOLVERS["prd"](payoffs)).max() < 0.07


@pytest.mark.parametrize("name", ["nash", "max_entropy_nash"])
def test_case_37_a_program_that_was_not_solved_is_an_error(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(*given: Any, **options: Any) -> scipy.optimize.OptimizeResult:
        return scipy.optimize.OptimizeResult(status=4, message="numerical difficulties", x=None)

    monkeypatch.setattr("scipy.optimize.linprog", give_up)
    with pytest.raises(RuntimeError, match="numerical difficulties"):
        SOLVERS[name](zero_sum(SEGMENT))


@pytest.mark.parametrize("name", ["nash", "max_entropy_nash", "regret_matching", "prd"])
def test_case_37_a_dominated_policy_has_no_weight(name: str) -> None:
    # The second policy, played with probability 0.49, and the third earn 1.03 and 1.02; the first earns 1.
    payoffs = zero_sum([[1, 1], [2.1, 0], [0, 2]])
    weight = assert_certified(name, payoffs).marginals[0][0]
    # Its weight costs 0.0244 each, which is all that is left of the regret.
    assert weight == 0 if name == "nash" else weight * 0.0244 <= CERTIFIED[name]


def test_case_38_alpha_rank_is_not_offered() -> None:
    with pytest.raises(ValueError, match="no meta-solver named 'alpharank'"):
        get_solver("alpharank")

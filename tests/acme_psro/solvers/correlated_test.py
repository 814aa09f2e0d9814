"""Meta-solvers for correlated equilibria: exact values, criteria, certificates and refusals."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable

import numpy as np
import pytest

from acme_psro.meta_game.payoffs import meta_regret, value
from acme_psro.meta_game.profiles import cell_probabilities, marginals_of, recommendation_gains
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.solvers import SOLVERS, correlated, dual_newton, joint_regret_matching
from acme_psro.solvers.certificates import share_of_range
from acme_psro.solvers.properties import PROPERTIES, Concept

CHICKEN = np.array([[[0, 7], [2, 6]], [[0, 2], [7, 6]]], float)
SEXES = np.array([[[3, 0], [0, 2]], [[2, 0], [0, 3]]], float)
DILEMMA = np.array([[[5, 0], [10, 1]], [[5, 10], [0, 1]]], float)
WIDE = np.array([[[3, 0, 2], [1, 2, 0]], [[1, 2, 0], [2, 0, 3]]], float)
SQUARE = np.array([[[3, 4, 0], [1, 2, 2], [1, 1, 0]], [[3, 4, 0], [3, 0, 0], [3, 0, 3]]], float)
SHAPLEY = np.array([np.eye(3), np.roll(np.eye(3), 1, axis=1)])
# Player 0 matches 1, player 1 matches 2, player 2 mismatches 0.
_SAME = np.eye(2)
JORDAN = np.stack(
    [
        np.repeat(_SAME[:, :, None], 2, axis=2),
        np.repeat(_SAME[None], 2, axis=0),
        np.repeat(1 - _SAME[:, None], 2, axis=1),
    ]
)
EXACT = {
    ("max_gini_cce", "chicken"): (CHICKEN, np.array([5, 10, 10, 9]) / 34),
    ("max_gini_ce", "chicken"): (CHICKEN, np.array([5, 10, 10, 9]) / 34),
    ("max_entropy_cce", "chicken"): (CHICKEN, [0.148344, 0.296687, 0.296687, 0.258281]),
    ("max_welfare_cce", "chicken"): (CHICKEN, [0, 0.25, 0.25, 0.5]),
    ("max_gini_cce", "sexes"): (SEXES, [0.279070, 0.255814, 0.186047, 0.279070]),
    ("max_entropy_cce", "sexes"): (SEXES, [0.280091, 0.253091, 0.186727, 0.280091]),
    ("max_gini_cce", "dilemma"): (DILEMMA, [0, 0, 0, 1]),
    ("max_entropy_ce", "dilemma"): (DILEMMA, [0, 0, 0, 1]),
    ("max_gini_cce", "wide"): (WIDE, [0.214286, 0.321429, 0.107143, 0.035714, 0.178571, 0.142857]),
    ("max_gini_ce", "wide"): (WIDE, [1 / 3, 1 / 3, 0, 1 / 6, 1 / 6, 0]),
    ("max_entropy_cce", "wide"): (WIDE, [0.222222, 0.333333, 0.111111, 0.055556, 0.166667, 0.111111]),
    ("max_gini_cce", "square"): (
        SQUARE,
        [0.228261, 0.326087, 0, 0.054348, 0, 0.108696, 0.054348, 0, 0.228261],
    ),
    ("max_gini_ce", "square"): (SQUARE, [0, 1, 0, 0, 0, 0, 0, 0, 0]),
    ("max_entropy_cce", "square"): (
        SQUARE,
        [0.193428, 0.392215, 0.023201, 0.045095, 0.005409, 0.099517, 0.045095, 0.002612, 0.193428],
    ),
    ("max_gini_ce", "shapley"): (SHAPLEY, np.full(9, 1 / 9)),
    ("max_entropy_cce", "shapley"): (SHAPLEY, np.full(9, 1 / 9)),
    ("max_gini_cce", "jordan"): (JORDAN, np.full(8, 1 / 8)),
    ("max_entropy_ce", "jordan"): (JORDAN, np.full(8, 1 / 8)),
}
CORRELATED = sorted(name for name, each in PROPERTIES.items() if each.concept in (Concept.CE, Concept.CCE))
ITERATIVE = ("regret_matching_cce", "hedge_cce", "regret_matching_ce")
# Their distributions may leave deviations something to gain, or take something from them, by design.
WITH_EPSILON = [name for name in CORRELATED if "epsilon" in name]
PRECISE = [name for name in CORRELATED if name not in (*ITERATIVE, *WITH_EPSILON)]


def _cells(joint: object, payoffs: np.ndarray) -> np.ndarray:
    assert isinstance(joint, JointStrategy)
    return cell_probabilities(joint, payoffs.shape[1:])


def _random(sizes: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((len(sizes), *sizes))


@pytest.mark.parametrize("name", sorted(EXACT), ids="-".join)
def test_exact_values(name: tuple[str, str]) -> None:
    payoffs, expected = EXACT[name]
    found = _cells(SOLVERS[name[0]](payoffs), payoffs)
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("epsilon", "expected"), [(1.0, [0.143939, 0.280303, 0.280303, 0.295455]), (2.0, [0.25] * 4)]
)
def test_an_epsilon_in_payoff_units_spreads_the_dilemma(epsilon: float, expected: list[float]) -> None:
    found = correlated.max_gini(DILEMMA, epsilon=epsilon)
    np.testing.assert_allclose(_cells(found, DILEMMA).ravel(), expected, atol=1e-6)


def test_known_payoffs() -> None:
    assert value(CHICKEN, SOLVERS["max_gini_cce"](CHICKEN)) == pytest.approx([72 / 17] * 2, abs=1e-6)
    assert value(CHICKEN, SOLVERS["max_welfare_ce"](CHICKEN)) == pytest.approx([5.25] * 2, abs=1e-6)
    assert value(SEXES, SOLVERS["max_welfare_cce"](SEXES)).sum() == pytest.approx(5.0, abs=1e-6)
    assert value(SHAPLEY, SOLVERS["max_welfare_cce"](SHAPLEY)).sum() == pytest.approx(1.0, abs=1e-6)


def test_games_that_tell_the_two_concepts_apart() -> None:
    coarse = SOLVERS["max_gini_cce"](SQUARE)
    assert meta_regret(SQUARE, coarse).max() <= 1e-7
    assert recommendation_gains(SQUARE, coarse).max() == pytest.approx(0.4565, abs=1e-4)


@pytest.mark.parametrize("name", PRECISE)
@pytest.mark.parametrize("sizes", [(1, 1), (4,), (3, 5), (2, 3, 4), (2, 2, 2, 2)])
def test_answers_are_equilibria(name: str, sizes: tuple[int, ...]) -> None:
    for seed in range(2):
        payoffs = _random(sizes, seed)
        joint = SOLVERS[name](payoffs)
        assert share_of_range(payoffs, joint, PROPERTIES[name].concept) <= 1e-7


@pytest.mark.parametrize("name", PRECISE)
def test_players_and_policies_are_treated_alike(name: str) -> None:
    # Near the boundary the entropy is flat, and known to half as many digits as its argument.
    tolerance = 1e-5 if "entropy" in name else 1e-6
    payoffs = _random((3, 4), 5)
    found = _cells(SOLVERS[name](payoffs), payoffs)
    swapped = payoffs[::-1].transpose(0, 2, 1)
    np.testing.assert_allclose(_cells(SOLVERS[name](swapped), swapped), found.T, atol=tolerance)
    order = [2, 0, 1]
    reordered = _cells(SOLVERS[name](payoffs[:, order]), payoffs)
    np.testing.assert_allclose(reordered, found[order], atol=tolerance)


@pytest.mark.parametrize("name", [name for name in PRECISE if "welfare" not in name])
def test_shifts_and_scales_of_payoffs_change_nothing(name: str) -> None:
    payoffs = _random((3, 4), 6)
    changed = payoffs * np.array([5.0, 0.01])[:, None, None] + np.array([-100.0, 3.0])[:, None, None]
    found = _cells(SOLVERS[name](payoffs), payoffs)
    tolerance = 1e-5 if "entropy" in name else 1e-6
    np.testing.assert_allclose(_cells(SOLVERS[name](changed), changed), found, atol=tolerance)


@pytest.mark.parametrize("name", ["max_gini_cce", "max_entropy_ce"])
def test_equal_policies_get_equal_weights(name: str) -> None:
    payoffs = _random((2, 3), 7)[:, [0, 0, 1]]
    found = _cells(SOLVERS[name](payoffs), payoffs)
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


@pytest.mark.parametrize("concept", [Concept.CCE, Concept.CE])
def test_half_the_largest_gap_gives_weight_to_every_profile(concept: Concept) -> None:
    payoffs = _random((3, 4), 8)
    cells = _cells(correlated.max_gini(payoffs, concept=concept, share=0.5), payoffs)
    assert (cells > 1e-4).all()
    np.testing.assert_allclose(
        _cells(correlated.max_gini(payoffs, concept=concept, share=1.0), payoffs), 1 / 12
    )


def test_the_least_epsilon_makes_every_deviation_lose() -> None:
    """The uniform play of rock, paper, scissors is the only CCE; in chicken all deviations can lose."""
    rows = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    uniform = SOLVERS["min_epsilon_max_gini_cce"](np.stack([rows, -rows]))
    np.testing.assert_allclose(_cells(uniform, np.stack([rows, -rows])), 1 / 9, atol=1e-6)
    joint = SOLVERS["min_epsilon_max_gini_cce"](CHICKEN)
    cells = _cells(joint, CHICKEN)
    for player, table in enumerate(CHICKEN):
        earned = (table * cells).sum()
        others = cells.sum(axis=player, keepdims=True)
        assert (table * others).sum(axis=1 - player).max() < earned - 0.1


def test_the_least_epsilon_bounds_all_recommendations() -> None:
    """In chicken the traffic light is the distribution from which every swap loses most: half a unit."""
    cells = _cells(SOLVERS["min_epsilon_max_gini_ce"](CHICKEN), CHICKEN)
    np.testing.assert_allclose(cells, [[0, 0.5], [0.5, 0]], atol=1e-6)
    rows = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    uniform = SOLVERS["min_epsilon_max_gini_ce"](np.stack([rows, -rows]))
    np.testing.assert_allclose(_cells(uniform, np.stack([rows, -rows])), 1 / 9, atol=1e-6)


@pytest.mark.parametrize("solve", [joint_regret_matching.regret_matching_plus, joint_regret_matching.hedge])
@pytest.mark.parametrize("payoffs", [CHICKEN, SHAPLEY, JORDAN, _random((4, 5), 9), _random((3, 3, 3), 10)])
def test_average_joint_play_approaches_a_coarse_equilibrium(
    solve: Callable[..., JointStrategy], payoffs: np.ndarray
) -> None:
    gaps = [share_of_range(payoffs, solve(payoffs, iterations=rounds), Concept.CCE) for rounds in (50, 4000)]
    assert gaps[1] <= 0.02 and gaps[1] <= gaps[0]


def test_the_product_of_averages_is_another_answer() -> None:
    """In Shapley's game play cycles round the diagonal, which no product of marginals says."""
    joint = SOLVERS["regret_matching_cce"](_random((4, 5), 9))
    payoffs = _random((4, 5), 9)
    product = marginals_of(joint, (4, 5))
    assert meta_regret(payoffs, joint).max() < 0.5 * meta_regret(payoffs, product).max()


@pytest.mark.parametrize("name", CORRELATED)
def test_malformed_payoffs_are_refused(name: str) -> None:
    for bad, says in (
        (np.full((2, 2, 2), np.nan), "NaN"),
        (np.zeros((2, 0, 2)), "empty"),
        (np.zeros((2, 2)), "shape"),
    ):
        with pytest.raises(ValueError, match=says):
            SOLVERS[name](bad)


@pytest.mark.parametrize(
    ("solve", "says"),
    [
        (functools.partial(correlated.max_gini, epsilon=-1.0), "epsilon must not be negative"),
        (functools.partial(correlated.max_gini, epsilon=np.nan), "epsilon must not be negative"),
        (functools.partial(correlated.max_entropy, share=1.5), "share must lie in"),
        (functools.partial(joint_regret_matching.hedge, iterations=0), "give 1 or more"),
    ],
)
def test_options_out_of_their_range_are_refused(solve: Callable[..., JointStrategy], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        solve(CHICKEN)


def test_a_failing_solver_is_an_error_and_never_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    import clarabel

    monkeypatch.setattr(dual_newton, "solve", lambda *arguments: None)
    failed = types.SimpleNamespace(solve=lambda: types.SimpleNamespace(status="MaxIterations", x=[0.25] * 4))
    monkeypatch.setattr(clarabel, "DefaultSolver", lambda *arguments: failed)
    with pytest.raises(RuntimeError, match="Clarabel did not solve the meta-game: MaxIterations"):
        SOLVERS["max_gini_cce"](CHICKEN)
    # An answer that is no equilibrium is refused too, whatever the solver says of it.
    wrong = types.SimpleNamespace(
        solve=lambda: types.SimpleNamespace(status="Solved", x=[1.0, 0.0, 0.0, 0.0])
    )
    monkeypatch.setattr(clarabel, "DefaultSolver", lambda *arguments: wrong)
    with pytest.raises(RuntimeError, match=r"a deviation gains .* more than it may|was not found in"):
        SOLVERS["max_gini_cce"](CHICKEN)


@pytest.mark.parametrize("kind", ["cce", "ce"])
def test_max_gini_equals_openspiels(kind: str) -> None:
    pytest.importorskip("cvxpy")
    from open_spiel.python.algorithms import jpsro

    for seed in range(3):
        payoffs = _random((3, 4), seed)
        theirs, _ = jpsro.FLAG_TO_FUNC[f"mg{kind}"](payoffs, [[1] * 3, [1] * 4], ignore_repeats=True)
        ours = _cells(SOLVERS[f"max_gini_{kind}"](payoffs), payoffs)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_clarabel_is_imported_by_its_solvers_alone() -> None:
    import subprocess

    heavy = ("clarabel", "scipy.optimize")
    program = f"import sys, acme_psro.solvers; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Newton's method on the dual: known answers, a second method, large games, and programs that it leaves."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from acme_psro.solvers import dual_newton, even_distributions
from acme_psro.solvers.dual_newton import Criterion
from acme_psro.solvers.incentives import Incentives, incentives, prepare
from acme_psro.solvers.properties import Concept

CRITERIA = [dual_newton.squares, dual_newton.entropy]
CONCEPTS = [Concept.CCE, Concept.CE]


def _random(sizes: tuple[int, ...], seed: int, concept: Concept) -> Incentives:
    return incentives(prepare(np.random.default_rng(seed).standard_normal((len(sizes), *sizes))), concept)


def _solve(found: Incentives, criterion: Criterion) -> np.ndarray | None:
    return dual_newton.solve(found.rows, np.zeros(len(found.players)), criterion)


def test_replies_to_scores() -> None:
    """The projection of (1, 1/2, 0) is (3/4, 1/4, 0); a softmax keeps ratios."""
    reply = dual_newton.squares(3.0 * np.array([1.0, 0.5, 0.0]))
    np.testing.assert_allclose(reply.x, [0.75, 0.25, 0.0])
    np.testing.assert_allclose(reply.weights, [1 / 3, 1 / 3, 0.0])
    assert reply.value == pytest.approx(3.0 * (0.875 - 0.3125))
    reply = dual_newton.entropy(np.log([1.0, 2.0, 5.0]))
    np.testing.assert_allclose(reply.x, [0.125, 0.25, 0.625])
    assert reply.value == pytest.approx(np.log(8.0))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_weights_and_values_are_derivatives(criterion: Criterion) -> None:
    scores, step = np.array([0.3, -0.2, 0.5, 0.1]), 1e-6
    reply = criterion(scores)
    jacobian = np.diag(reply.weights) - np.outer(reply.weights, reply.weights) / reply.weights.sum()
    for cell in range(4):
        moved = criterion(scores + step * np.eye(4)[cell])
        assert (moved.value - reply.value) / step == pytest.approx(reply.x[cell], abs=1e-5)
        np.testing.assert_allclose((moved.x - reply.x) / step, jacobian[cell], atol=1e-5)


@pytest.mark.parametrize(
    ("criterion", "least"), [(dual_newton.squares, 5 / 42), (dual_newton.entropy, 1 / (5 + 4**0.8))]
)
def test_one_constraint(criterion: Criterion, least: float) -> None:
    """Under x1 <= x0 / 4, the optimum is (4 t, t, 1 - 5 t), with t by hand."""
    x = dual_newton.solve(scipy.sparse.csr_array([[-0.25, 1.0, 0.0]]), np.zeros(1), criterion)
    np.testing.assert_allclose(x, [4 * least, least, 1 - 5 * least], atol=1e-10)


@pytest.mark.parametrize("concept", CONCEPTS)
@pytest.mark.parametrize("sizes", [(1, 1), (5,), (4, 6), (3, 2, 4), (2, 2, 2, 3)])
def test_an_interior_point_finds_the_same(
    sizes: tuple[int, ...], concept: Concept, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [_random(sizes, seed, concept) for seed in range(3)]
    others = [even_distributions.most_even, even_distributions.most_random]
    pairs = [
        (_solve(each, criterion), each, other)
        for each in first
        for criterion, other in zip(CRITERIA, others, strict=True)
    ]
    monkeypatch.setattr(dual_newton, "solve", lambda *arguments: None)
    # Correlated equilibria of small games may leave no room, and the method may then not converge.
    solved = [(x, found, other) for x, found, other in pairs if x is not None]
    assert len(solved) >= 3
    for x, found, other in solved:
        np.testing.assert_allclose(other(found.rows, np.zeros(len(found.players))), x, atol=2e-5)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("concept", CONCEPTS)
@pytest.mark.parametrize("sizes", [(50, 50), (20, 20, 20)])
def test_large_games_need_few_steps(
    sizes: tuple[int, ...], concept: Concept, criterion: Criterion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dual_newton, "_MOST_STEPS", 15)
    found = _random(sizes, 0, concept)
    x = _solve(found, criterion)
    assert x is not None
    assert (found.rows @ x).max() <= 1e-11


@pytest.mark.parametrize("criterion", CRITERIA)
def test_rounding_errors_between_equal_policies_are_no_constraint(criterion: Criterion) -> None:
    payoffs = np.random.default_rng(3).standard_normal((3, 5, 5, 5))[:, [0, 1, 2, 3, 4, 0]]
    exact = incentives(prepare(payoffs), Concept.CE)
    noise = 1e-15 * np.random.default_rng(4).standard_normal(payoffs.shape)
    rounded = incentives(prepare(payoffs + noise), Concept.CE)
    one, other = _solve(exact, criterion), _solve(rounded, criterion)
    assert one is not None and other is not None
    np.testing.assert_allclose(one.reshape(6, 25)[0], one.reshape(6, 25)[5], atol=1e-9)
    np.testing.assert_allclose(other, one, atol=1e-7)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_what_cannot_be_satisfied_is_left(criterion: Criterion) -> None:
    rows = scipy.sparse.csr_array([[1.0, 2.0, 3.0]])
    assert dual_newton.solve(rows, np.array([0.5]), criterion) is None
    assert dual_newton.solve(rows[:0], np.zeros(0), criterion) == pytest.approx(1 / 3)


@pytest.mark.parametrize("solve", [even_distributions.most_even, even_distributions.most_random])
def test_games_with_many_ties_are_solved_all_the_same(solve: object) -> None:
    table = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], (10, 12))
    found = incentives(prepare(np.stack([table, -table])), Concept.CE)
    x = solve(found.rows, np.zeros(len(found.players)))  # type: ignore[operator]
    assert (found.rows @ x).max() <= 1e-7


@pytest.mark.parametrize("concept", CONCEPTS)
@pytest.mark.parametrize("criterion", CRITERIA)
def test_dense_and_sparse_matrices_give_the_same(
    criterion: Criterion, concept: Concept, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _random((6, 7), 3, concept)
    dense = _solve(found, criterion)
    monkeypatch.setattr(dual_newton, "_SMALL", 0)
    monkeypatch.setattr(dual_newton, "_DENSE", 2.0)
    sparse = _solve(found, criterion)
    assert dense is not None and sparse is not None
    np.testing.assert_allclose(dense, sparse, atol=1e-9)


def test_constraints_that_are_likely_to_matter_change_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dual_newton, "solve", lambda *arguments: None)
    found = _random((4, 5), 5, Concept.CE)
    bounds, rng = np.zeros(len(found.players)), np.random.default_rng(0)
    expected = even_distributions.most_even(found.rows, bounds)
    for share in (0.0, 0.3, 1.0):
        likely = rng.random(len(bounds)) < share
        given = even_distributions.most_even(found.rows, bounds, likely)
        np.testing.assert_allclose(given, expected, atol=1e-7)

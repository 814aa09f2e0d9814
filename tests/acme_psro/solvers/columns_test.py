"""Linear programs by columns: the same optima as of all cells at once, faces, and failures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from acme_psro.solvers import columns, highs
from acme_psro.solvers.incentives import incentives, prepare
from acme_psro.solvers.properties import Concept

CHICKEN = np.array([[[0, 7], [2, 6]], [[0, 2], [7, 6]]], float)


def _random(sizes: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((len(sizes), *sizes))


@pytest.fixture(autouse=True)
def _few_cells_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_FIRST", 3)
    monkeypatch.setattr(columns, "_AT_ONCE", 2)


@pytest.mark.parametrize("most_rows", [0, 10**6])
@pytest.mark.parametrize("concept", [Concept.CE, Concept.CCE])
@pytest.mark.parametrize("payoffs", [_random((5, 6), 3), _random((3, 4, 3), 4)])
def test_the_least_bound_is_proven_and_the_same_by_rounds_and_at_once(
    payoffs: np.ndarray, concept: Concept, most_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = incentives(prepare(payoffs), concept).rows
    at_once = columns._least_bound_of_all(rows)
    by_rounds = columns._generate(
        np.zeros(rows.shape[1]), rows, 1.0, -np.inf, columns._begin(np.zeros(rows.shape[1]))
    )
    assert at_once.bound == pytest.approx(by_rounds.bound, abs=1e-9)
    # Different optimal prices leave out different other cells, but none with weight in any optimum.
    for face in (at_once.face, by_rounds.face):
        assert face[at_once.x > 1e-9].all() and face[by_rounds.x > 1e-9].all()
    monkeypatch.setattr(columns, "_MOST_ROWS", most_rows)
    assert columns.least_bound(rows).bound == pytest.approx(at_once.bound, abs=1e-9)
    assert (rows @ at_once.x).max() == pytest.approx(at_once.bound, abs=1e-9)
    assert at_once.x.min() >= 0.0 and at_once.x.sum() == pytest.approx(1.0)


def test_prices_that_do_not_prove_a_bound_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = incentives(prepare(CHICKEN), Concept.CE).rows
    wrong = highs.Optimum(np.append(np.ones(rows.shape[0]), 0.0), np.ones(rows.shape[1]), "a wrong method")
    monkeypatch.setattr(highs, "optima", lambda *arguments, **options: iter([wrong]))
    with pytest.raises(RuntimeError, match="full accuracy"):
        columns._least_bound_of_all(rows)


@pytest.mark.parametrize("concept", [Concept.CE, Concept.CCE])
@pytest.mark.parametrize("payoffs", [CHICKEN, _random((5, 6), 0), _random((8, 7), 1), _random((3, 4, 3), 2)])
def test_optima_are_those_of_all_cells(payoffs: np.ndarray, concept: Concept) -> None:
    rows = incentives(prepare(payoffs), concept).rows
    number, size = rows.shape
    welfare = payoffs.sum(axis=0).ravel()
    weights = (welfare - welfare.min()) / np.ptp(welfare)
    whole = linprog(-weights, rows, np.zeros(number), np.ones((1, size)), [1.0], method="highs-ds")
    found = columns.largest(weights, rows)
    assert weights @ found.x == pytest.approx(-whole.fun, abs=1e-8)
    assert (rows @ found.x).max() <= 1e-8 and found.x.sum() == pytest.approx(1.0)
    assert found.face[found.x > 1e-9].all()
    # The least bound: the value of a game between cells and deviations.
    widened = np.hstack([rows.toarray(), -np.ones((number, 1))])
    bounds = [(0, None)] * size + [(None, None)]
    sums = np.append(np.ones(size), 0.0)[None]
    least = linprog(np.eye(size + 1)[-1], widened, np.zeros(number), sums, [1.0], bounds, method="highs-ds")
    optimum = columns.least_bound(rows)
    assert optimum.bound == pytest.approx(least.fun, abs=1e-8)
    assert (rows @ optimum.x).max() == pytest.approx(least.fun, abs=1e-8)


def test_the_face_leaves_out_what_no_optimum_uses() -> None:
    found = columns.largest(np.array([0.0, 0.5, 0.5, 1.0]), incentives(prepare(CHICKEN), Concept.CE).rows)
    # Chicken's best equilibrium: 1/4, 1/4 and 1/2, and nothing for the crash.
    np.testing.assert_array_equal(found.face, [False, True, True, True])


def test_a_failing_solver_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> object:
        raise RuntimeError("HiGHS did not solve the linear program")

    monkeypatch.setattr(highs, "optima", fail)
    with pytest.raises(RuntimeError, match="HiGHS did not solve"):
        columns.least_bound(incentives(prepare(CHICKEN), Concept.CE).rows)


def test_constraints_that_nothing_satisfies_are_an_error() -> None:
    import scipy.sparse

    with pytest.raises(RuntimeError, match="satisfies all constraints"):
        columns.largest(np.array([0.0, 1.0]), scipy.sparse.csr_array(np.ones((1, 2))))

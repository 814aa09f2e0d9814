"""Linear programs over joint distributions, of whose cells only those that matter are passed to HiGHS.

An optimal vertex has weight in about as many cells as constraints bind, which are few of all cells. So a
program over some cells is solved, its prices value all others, and those that would improve it join, until
none does (column generation; Dantzig & Wolfe 1960). With as many constraints as correlated equilibria have,
rounds are no smaller than the whole, and the whole is solved once.

Dimensions: `n` cells, `R` constraints.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

# Cells that a program begins with, and the most that join at once.
_FIRST, _AT_ONCE = 200, 100
# What a cell must add to join, for weights in [0, 1]; and what a bound may be above 0 that should be 0.
_IMPROVES, _NOTHING = 1e-9, 1e-11
# The price of an excess over the constraints, which is raised until there is none.
_PRICE, _RAISE, _MOST_RAISES = 10.0, 10.0, 8
_MOST_ROUNDS = 1000
# Constraints up to which the least bound is found by rounds.
_MOST_ROWS = 500
# Limit on the time of one linear program.
_MOST_SECONDS = 600.0


class Optimum(NamedTuple):
    """An optimum over all cells.

    Attributes:
      x: `[n]`, the distribution.
      bound: the largest of `rows @ x`, which the program made small.
      face: `[n]` bool, the cells in which optimal distributions may have weight; all others have none in any.
    """

    x: np.ndarray
    bound: float
    face: np.ndarray


class _Round(NamedTuple):
    """Optimum over some cells: `x` of these, the bound, and what a unit of each of all cells would add."""

    x: np.ndarray
    bound: float
    adds: np.ndarray


def largest(weights: np.ndarray, rows: Any) -> Optimum:
    """Returns the distribution of the largest `weights @ x` with `rows @ x <= 0`.

    Args:
      weights: `[n]`, in [0, 1].
      rows: `[R, n]` sparse; there is a distribution that satisfies them.

    Raises:
      RuntimeError: HiGHS found no optimum, or none that satisfies the constraints.
    """
    price, active = _PRICE, _begin(weights)
    for _ in range(_MOST_RAISES):
        found = _generate(weights, rows, price, 0.0, active)
        # Above the prices of all constraints together, the price of an excess lets none pass.
        if found.bound <= _NOTHING:
            return found
        price *= _RAISE
    raise RuntimeError("no distribution was found that satisfies all constraints of a correlated equilibrium")


def least_bound(rows: Any) -> Optimum:
    """Returns a distribution with the least bound of `rows @ x`; `rows` is `[R, n]` sparse.

    Raises:
      RuntimeError: HiGHS found no optimum.
    """
    if rows.shape[0] > min(rows.shape[1], _MOST_ROWS):
        return _least_bound_of_all(rows)
    first = -np.asarray(rows.mean(axis=0)).ravel()
    return _generate(np.zeros(rows.shape[1]), rows, 1.0, -np.inf, _begin(first))


def _least_bound_of_all(rows: Any) -> Optimum:
    """Returns the same as `least_bound`, from one program over all cells and constraints."""
    import scipy.sparse

    from acme_psro.solvers import highs

    number, size = rows.shape
    # The dual program, which the interior point solves in half the time: prices of the constraints that sum
    # to 1, and the most that every cell costs at them. Its own prices are the distribution.
    program = highs.LinearProgram(
        np.append(np.zeros(number), -1.0),
        scipy.sparse.hstack([-rows.T, np.ones((size, 1))], format="csr"),
        scipy.sparse.csr_array(np.append(np.ones(number), 0.0)[None]),
        np.ones(1),
        np.append(np.zeros(number), -np.inf),
    )
    for optimum in highs.optima(program, _MOST_SECONDS):
        x, prices = optimum.prices / optimum.prices.sum(), optimum.x[:-1] / optimum.x[:-1].sum()
        costs = rows.T @ prices
        bound = float((rows @ x).max())
        # Any prices say that no bound is below the least cost of a cell.
        if bound - costs.min() <= _IMPROVES:
            return Optimum(x, bound, bound - costs >= -_IMPROVES)
    raise RuntimeError("HiGHS did not find the least bound on what deviations gain to its full accuracy")


def _begin(preference: np.ndarray) -> np.ndarray:
    """Returns `[n]` bool: the cells to begin with."""
    active = np.zeros(len(preference), bool)
    active[np.argsort(-preference, kind="stable")[:_FIRST]] = True
    return active


def _generate(weights: np.ndarray, rows: Any, price: float, lowest: float, active: np.ndarray) -> Optimum:
    """Returns the optimum of `weights @ x - price * t` with `rows @ x <= t` and `t >= lowest`.

    Args:
      weights: `[n]`.
      rows: `[R, n]` sparse.
      price: of t.
      lowest: the lower bound of t.
      active: `[n]` bool, the cells to begin with; those that join are added to it.
    """
    columns = rows.tocsc()
    for _ in range(_MOST_ROUNDS):
        cells = np.flatnonzero(active)
        found = _solve(weights, columns, price, lowest, cells)
        new = np.flatnonzero((found.adds > _IMPROVES) & ~active)
        if not new.size:
            x = np.zeros(len(weights))
            x[cells] = found.x
            return Optimum(x, found.bound, found.adds >= -_IMPROVES)
        active[new[np.argsort(-found.adds[new], kind="stable")[:_AT_ONCE]]] = True
    raise RuntimeError(f"a linear program was not solved in {_MOST_ROUNDS} rounds of cells")


def _solve(weights: np.ndarray, columns: Any, price: float, lowest: float, cells: np.ndarray) -> _Round:
    """Returns the optimum over some cells.

    Raises:
      RuntimeError: HiGHS found none.
    """
    import scipy.sparse

    from acme_psro.solvers import highs

    some = columns[:, cells].tocsr()
    # Constraints on other cells alone say that t is at least 0.
    kept = np.flatnonzero(np.diff(some.indptr) > 0) if lowest == 0.0 else np.arange(some.shape[0])
    matrix = scipy.sparse.hstack([some[kept], -np.ones((len(kept), 1))], format="csr")
    is_cell = np.append(np.ones(len(cells)), 0.0)
    program = highs.LinearProgram(
        np.append(-weights[cells], price),
        matrix,
        scipy.sparse.csr_array(is_cell[None]),
        np.ones(1),
        np.append(np.zeros(len(cells)), lowest),
    )
    # The simplex method begins at a vertex and ends at one, which programs with few cells reach at once.
    optimum = next(highs.optima(program, _MOST_SECONDS, simplex_first=True))
    prices = np.zeros(columns.shape[0])
    prices[kept] = optimum.prices
    net = weights - columns.T @ prices
    # Cells with weight add nothing; what they are worth is the price of probability.
    return _Round(optimum.x[:-1], float(optimum.x[-1]), net - net[cells].max())

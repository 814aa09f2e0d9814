"""Distributions of least squares or largest entropy under linear constraints.

Newton's method on the dual finds most of them, in large games many times as fast as an interior point. If it
does not converge, as in games with many ties, Clarabel solves the program. Constraints are then
added a few at a time, those that are violated most, because most of them do not matter at the optimum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from acme_psro.solvers import dual_newton

if TYPE_CHECKING:
    import scipy.sparse

# At most so many constraints are added at once.
_AT_ONCE = 200
# Constraints that are violated by less than this need not be added.
_SATISFIED = 1e-10
_MOST_ROUNDS = 100
# (constraints `[R, n]`, bounds `[R]`) -> the optimum `[n]`.
Solve = Callable[[Any, np.ndarray], np.ndarray]


def most_even(
    rows: scipy.sparse.csr_array, bounds: np.ndarray, likely: np.ndarray | None = None
) -> np.ndarray:
    """Returns the distribution `[n]` of the least sum of squares under constraints `rows @ x <= bounds`.

    Args:
      rows: `[R, n]`.
      bounds: `[R]`.
      likely: `[R]` bool, constraints that are likely to matter, which saves rounds; None if nothing is known.

    Raises:
      RuntimeError: neither method found an optimum.
    """
    found = dual_newton.solve(rows, bounds, dual_newton.squares)
    return by_rounds(rows, bounds, _uniform(rows), _solve_squares, likely) if found is None else found


def most_random(rows: scipy.sparse.csr_array, bounds: np.ndarray) -> np.ndarray:
    """Returns the distribution `[n]` of the largest entropy under constraints `rows @ x <= bounds`.

    Args:
      rows: `[R, n]`.
      bounds: `[R]`.

    Raises:
      RuntimeError: neither method found an optimum.
    """
    found = dual_newton.solve(rows, bounds, dual_newton.entropy)
    return by_rounds(rows, bounds, _uniform(rows), _solve_entropy) if found is None else found


def by_rounds(
    rows: Any, bounds: np.ndarray, first: np.ndarray, solve: Solve, likely: np.ndarray | None = None
) -> np.ndarray:
    """Returns the optimum under all constraints, of which only those that matter are passed to a solver.

    Args:
      rows: `[R, n]`, constraints `rows @ x <= bounds`.
      bounds: `[R]`.
      first: `[n]`, the optimum without constraints.
      solve: finds the optimum under some constraints.
      likely: `[R]` bool, constraints to begin with; None to begin with none.

    Raises:
      RuntimeError: some constraints are violated still after many rounds.
    """
    active, x = np.zeros(rows.shape[0], bool), first
    if likely is not None and likely.any():
        active |= likely
        x = solve(rows[np.flatnonzero(active)], bounds[active])
    for _ in range(_MOST_ROUNDS):
        excess = rows @ x - bounds
        wanting = np.flatnonzero((excess > _SATISFIED) & ~active)
        if not wanting.size:
            return x
        active[wanting[np.argsort(-excess[wanting], kind="stable")[:_AT_ONCE]]] = True
        x = solve(rows[np.flatnonzero(active)], bounds[active])
    raise RuntimeError(f"a correlated equilibrium was not found in {_MOST_ROUNDS} rounds of constraints")


def _uniform(rows: Any) -> np.ndarray:
    return np.full(rows.shape[1], 1.0 / rows.shape[1])


def _solve_squares(matrix: Any, limits: np.ndarray) -> np.ndarray:
    import clarabel
    import scipy.sparse

    size = matrix.shape[1]
    constraints = scipy.sparse.vstack(
        [np.ones((1, size)), matrix, -scipy.sparse.eye_array(size)], format="csc"
    )
    right = np.concatenate([[1.0], limits, np.zeros(size)])
    cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(len(limits) + size)]
    return _optimum(scipy.sparse.eye_array(size, format="csc"), np.zeros(size), constraints, right, cones)


def _solve_entropy(matrix: Any, limits: np.ndarray) -> np.ndarray:
    import clarabel
    import scipy.sparse

    size = matrix.shape[1]
    # Variables are x and t, with (t, x, 1) in the exponential cone: t is at most -x log x.
    none = scipy.sparse.csc_array((1 + len(limits), size))
    linear = scipy.sparse.hstack([scipy.sparse.vstack([np.ones((1, size)), matrix]), none])
    cell = np.arange(size)
    places = np.concatenate([3 * cell, 3 * cell + 1])
    columns = np.concatenate([size + cell, cell])
    cones_part = scipy.sparse.coo_array((-np.ones(2 * size), (places, columns)), shape=(3 * size, 2 * size))
    constraints = scipy.sparse.vstack([linear, cones_part], format="csc")
    right = np.concatenate([[1.0], limits, np.tile([0.0, 0.0, 1.0], size)])
    cones = [clarabel.ZeroConeT(1), *([clarabel.NonnegativeConeT(len(limits))] if len(limits) else [])]
    cones += [clarabel.ExponentialConeT() for _ in range(size)]
    objective = np.concatenate([np.zeros(size), -np.ones(size)])
    found = _optimum(scipy.sparse.csc_array((2 * size, 2 * size)), objective, constraints, right, cones)
    return found[:size]


def _optimum(
    quadratic: Any, linear: np.ndarray, constraints: Any, right: np.ndarray, cones: list[Any]
) -> np.ndarray:
    """Returns Clarabel's optimum of `x'Px / 2 + q'x` under conic constraints.

    Raises:
      RuntimeError: it found none.
    """
    import clarabel
    import scipy.sparse

    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = 1e-11
    settings.tol_feas = 1e-11
    # One thread, so that an answer does not depend on the machine.
    settings.max_threads = 1
    solver = clarabel.DefaultSolver(
        scipy.sparse.csc_matrix(quadratic),
        linear,
        scipy.sparse.csc_matrix(constraints),
        right,
        cones,
        settings,
    )
    solution = solver.solve()
    if str(solution.status) not in ("Solved", "AlmostSolved"):
        raise RuntimeError(f"Clarabel did not solve the meta-game: {solution.status}")
    return np.array(solution.x)

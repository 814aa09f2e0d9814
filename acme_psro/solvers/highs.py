"""Linear programs by HiGHS, with more effort if the first answer is not exact enough."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import scipy.sparse
from scipy.optimize import linprog

_TIGHT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
# On programs in sequence form the interior point takes seconds even when the simplex method, which meets many
# degenerate vertices there, takes more than half a minute.
_ATTEMPTS: tuple[tuple[str, str, Mapping[str, float]], ...] = (
    ("interior point", "highs-ipm", {}),
    ("interior point, tight", "highs-ipm", {**_TIGHT, "ipm_optimality_tolerance": 1e-11}),
    ("dual simplex", "highs-ds", _TIGHT),
)
# HiGHS runs without any limit if its presolve, of a second or so, takes longer than the limit.
_LEAST_SECONDS = 5.0


class LinearProgram(NamedTuple):
    """The program `min cost @ x` with `inequalities @ x <= 0`, `equations @ x = right` and `x >= lower`.

    Attributes:
      cost: `[n]`.
      inequalities: `[k, n]` sparse.
      equations: `[m, n]` sparse.
      right: `[m]`.
      lower: `[n]`, minus infinity for free variables.
    """

    cost: np.ndarray
    inequalities: scipy.sparse.spmatrix
    equations: scipy.sparse.spmatrix
    right: np.ndarray
    lower: np.ndarray


class Optimum(NamedTuple):
    """An optimum of a linear program.

    Attributes:
      x: `[n]`.
      prices: `[k]`, the dual prices of the inequalities, not negative.
      method: name of the method.
    """

    x: np.ndarray
    prices: np.ndarray
    method: str


def optima(program: LinearProgram, max_seconds: float, simplex_first: bool = False) -> Iterator[Optimum]:
    """Yields optima of one program, each found with more effort than the one before.

    HiGHS's tolerances are absolute. A caller should therefore measure how good an optimum is for its own
    purpose, and ask for the next one if that is not good enough.

    Args:
      program: the program.
      max_seconds: limit on the time of all methods together, which the last one may exceed by five seconds.
        The caller's time between them counts too.
      simplex_first: True to begin with the simplex method.

    Raises:
      RuntimeError: no method found an optimum within the time.
    """
    start, message, found = time.monotonic(), "there was no time", False
    for name, method, options in _ATTEMPTS[::-1] if simplex_first else _ATTEMPTS:
        left = max_seconds - (time.monotonic() - start)
        if left <= 0:
            break
        result = linprog(
            program.cost,
            A_ub=program.inequalities,
            b_ub=np.zeros(program.inequalities.shape[0]),
            A_eq=program.equations,
            b_eq=program.right,
            bounds=np.stack([program.lower, np.full(len(program.lower), np.inf)], axis=1),
            method=method,
            options={**options, "time_limit": max(left, _LEAST_SECONDS)},
        )
        message = str(result.message)
        if result.status == 0:
            found = True
            # HiGHS may violate bounds by its tolerance. Its prices of upper bounds are negative.
            prices = np.maximum(-result.ineqlin.marginals, 0.0)
            yield Optimum(np.maximum(result.x, program.lower), prices, name)
    if not found:
        raise RuntimeError(f"HiGHS did not solve the linear program in {max_seconds:g} s: {message}")

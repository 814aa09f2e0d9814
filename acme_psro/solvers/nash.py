"""Nash meta-solver for two-player zero-sum meta-games: one linear program by HiGHS."""

from collections.abc import Mapping

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs, meta_regret, unit_payoffs
from acme_psro.policies.meta_strategy import ProductStrategy

# Expected returns computed in float32 miss zero-sum by about this much, relative to games whose
# payoffs are of order 1 or more.
_ZERO_SUM_TOLERANCE = 1e-6
# HiGHS stops at 1e-7 by default. Nearly always its vertex is exact to rounding all the same; where
# the regret says otherwise (nearly duplicate policies) it is asked again for more.
_ACCEPTED_REGRET = 1e-10
_TIGHT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


def solve(payoffs: np.ndarray) -> ProductStrategy:
    """Returns a Nash equilibrium of a two-player zero-sum meta-game.

    The classic program for a matrix B > 0 (von Neumann; Dantzig 1951): the column player's
    `u >= 0` maximises `sum(u)` subject to `B u <= 1`; u and its dual prices, normalised, are
    the two strategies. An equilibrium is a vertex; where several exist HiGHS's choice stands, and
    it is the same at every call.

    Args:
      payoffs: `[2, n_1, n_2]` with `payoffs[0] + payoffs[1] = 0`, up to the rounding of float32.

    Raises:
      ValueError: the payoffs are malformed, not of two players, or not zero-sum.
      RuntimeError: HiGHS found no optimum.
    """
    payoffs = check_payoffs(payoffs)
    _check_two_player_zero_sum(payoffs)
    row_payoffs = (payoffs[0] - payoffs[1]) / 2.0
    unit = unit_payoffs(np.stack([row_payoffs, -row_payoffs]))
    # All entries in [1, 2]: the value of the program's game is positive, as the program needs.
    matrix = 1.0 + unit[0]
    meta_strategy = _solve_program(matrix, {})
    regret = meta_regret(unit, meta_strategy).max()
    if regret > _ACCEPTED_REGRET:
        tighter = _solve_program(matrix, _TIGHT)
        if meta_regret(unit, tighter).max() < regret:
            return tighter
    return meta_strategy


def _check_two_player_zero_sum(payoffs: np.ndarray) -> None:
    fitting = "use prd, regret_matching or uniform"
    num_players = len(payoffs)
    if num_players != 2:
        raise ValueError(f"meta-solver nash takes two players, these payoffs have {num_players}; {fitting}")
    excess = float(np.abs(payoffs[0] + payoffs[1]).max())
    if excess > _ZERO_SUM_TOLERANCE * max(1.0, float(np.abs(payoffs).max())):
        raise ValueError(
            "meta-solver nash takes zero-sum payoffs, but the two players' payoffs add up to as"
            f" much as {excess:g} in a cell; {fitting}"
        )


def _solve_program(matrix: np.ndarray, options: Mapping[str, float]) -> ProductStrategy:
    # Imported here because it takes a fifth of a second, and only this solver needs it.
    from scipy.optimize import linprog

    num_rows, num_columns = matrix.shape
    result = linprog(
        -np.ones(num_columns),
        A_ub=matrix,
        b_ub=np.ones(num_rows),
        method="highs",
        options=dict(options),
    )
    if result.status != 0:
        raise RuntimeError(f"HiGHS did not solve the meta-game: {result.message}")
    return ProductStrategy((_normalised(-result.ineqlin.marginals), _normalised(result.x)))


def _normalised(weights: np.ndarray) -> np.ndarray:
    # HiGHS may leave a bound violated within its tolerance.
    weights = np.maximum(weights, 0.0)
    return weights / weights.sum()

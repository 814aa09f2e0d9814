"""Nash meta-solver for two-player zero-sum meta-games, which solves one linear program with HiGHS."""

from collections.abc import Mapping

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs, meta_regret, unit_payoffs
from acme_psro.policies.meta_strategy import ProductStrategy

# Expected returns computed in float32 miss zero-sum by about this much, relative to games whose
# payoffs are of order 1 or more.
_ZERO_SUM_TOLERANCE = 1e-6
# HiGHS stops at a tolerance of 1e-7 by default, and yet its vertex is nearly always exact up to rounding.
# With nearly duplicate policies it may not be: the regret shows this, and the program is then solved again
# with the tighter tolerances below.
_ACCEPTED_REGRET = 1e-10
_TIGHT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


def solve(payoffs: np.ndarray) -> ProductStrategy:
    """Returns a Nash equilibrium of a two-player zero-sum meta-game.

    Solves the classic linear program for a payoff matrix B > 0 (von Neumann; Dantzig 1951). The
    column player's vector `u >= 0` maximises `sum(u)` subject to `B u <= 1`. The column player's
    strategy is u, normalised, and the row player's strategy is the vector of dual prices,
    normalised. The result is a vertex of the set of equilibria. If there are several vertices,
    HiGHS chooses one of them, and it makes the same choice at every call; `max_entropy_nash` does not depend
    on such a choice.

    Args:
      payoffs: `[2, n_1, n_2]` with `payoffs[0] + payoffs[1] = 0`, up to float32 rounding.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`), do not belong to two players, or are
        not zero-sum.
      RuntimeError: HiGHS found no optimum.
    """
    return solve_unit(unit_zero_sum("nash", check_payoffs(payoffs)))


def unit_zero_sum(name: str, payoffs: np.ndarray) -> np.ndarray:
    """Returns the payoffs scaled to [0, 1] for each player, zero-sum up to a constant.

    Args:
      name: the meta-solver's name, for messages.
      payoffs: float64 `[2, n_1, n_2]`, finite.

    Raises:
      ValueError: the payoffs do not belong to two players, or are not zero-sum.
    """
    _check_two_player_zero_sum(name, payoffs)
    # Averaging the two players' tables makes the game zero-sum exactly, as the program assumes.
    row_payoffs = (payoffs[0] - payoffs[1]) / 2.0
    return unit_payoffs(np.stack([row_payoffs, -row_payoffs]))


def solve_unit(unit: np.ndarray) -> ProductStrategy:
    """Returns a Nash equilibrium as `solve` does, for payoffs of `unit_zero_sum`.

    Raises:
      RuntimeError: HiGHS found no optimum.
    """
    # The program divides by the value of the game, so this must be positive. Adding a constant to all
    # payoffs changes no equilibrium, and entries in [1, 2] keep the program well conditioned.
    matrix = 1.0 + unit[0]
    meta_strategy = _solve_program(matrix, {})
    regret = meta_regret(unit, meta_strategy).max()
    if regret > _ACCEPTED_REGRET:
        # Tighter tolerances do not guarantee a better vertex, so the one with less regret is returned.
        tighter = _solve_program(matrix, _TIGHT)
        if meta_regret(unit, tighter).max() < regret:
            return tighter
    return meta_strategy


def _check_two_player_zero_sum(name: str, payoffs: np.ndarray) -> None:
    fitting = "use prd, regret_matching or uniform"
    num_players = len(payoffs)
    if num_players != 2:
        raise ValueError(f"meta-solver {name} takes two players, these payoffs have {num_players}; {fitting}")
    excess = float(np.abs(payoffs[0] + payoffs[1]).max())
    if excess > _ZERO_SUM_TOLERANCE * max(1.0, float(np.abs(payoffs).max())):
        raise ValueError(
            f"meta-solver {name} takes zero-sum payoffs, but the two players' payoffs add up to as"
            f" much as {excess:g} in a cell; {fitting}"
        )


def _solve_program(matrix: np.ndarray, options: Mapping[str, float]) -> ProductStrategy:
    # Imported here because the import takes a fifth of a second and no other solver needs it.
    from scipy.optimize import linprog

    num_rows, num_columns = matrix.shape
    # If payoffs span many orders of magnitude, one of HiGHS's methods may give up and another not.
    for method in ("highs", "highs-ds", "highs-ipm"):
        result = linprog(
            -np.ones(num_columns),
            A_ub=matrix,
            b_ub=np.ones(num_rows),
            method=method,
            options=dict(options),
        )
        if result.status == 0:
            break
    else:
        raise RuntimeError(f"HiGHS did not solve the meta-game: {result.message}")
    # The program is stated as a minimisation, so HiGHS's marginals of its upper bounds are <= 0. Their
    # negatives are the dual prices.
    return ProductStrategy((_normalised(-result.ineqlin.marginals), _normalised(result.x)))


def _normalised(weights: np.ndarray) -> np.ndarray:
    # HiGHS may violate `u >= 0` by its tolerance; a negative probability would fail later checks.
    weights = np.maximum(weights, 0.0)
    return weights / weights.sum()

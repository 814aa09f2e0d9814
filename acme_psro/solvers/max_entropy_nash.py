"""Meta-solver for the Nash equilibrium of maximum entropy in two-player zero-sum meta-games."""

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.solvers import nash
from acme_psro.solvers.certificates import typical_gaps
from acme_psro.system.cores import one_blas_thread

_LARGEST_SLACK = 0.1
# The barrier falls by this factor from 1 to the end, at which entries of the answer are exact to about 1e-9.
_FALL = 0.1
_END = 1e-10
# Newton's method goes on until its decrement is below this share of the barrier. The limits keep a game of
# extreme payoffs from running for ever; the answer is checked in any case.
_ENOUGH = 1e-2
_MOST_STEPS = 50
_MOST_HALVINGS = 40


def solve(payoffs: np.ndarray, *, slack: float = 5e-6) -> ProductStrategy:
    """Returns the Nash equilibrium of maximum entropy, up to a slack that makes it continuous in the payoffs.

    A two-player zero-sum game may have many equilibria. Linear programs return a vertex of them, which jumps
    if payoffs move a little, and which gives all weight of two equal policies to one of them. Each player's
    strategy of maximum entropy is unique, and gives equal policies equal weights.

    The entropy of player p's strategy x is maximised over all x that secure the game's value v to within the
    slack: `B x >= v - slack`, with p's payoffs B against each of the other's policies. With no slack, the set
    of these x may shrink from a polytope to a point when a payoff moves, and the answer would jump too. The
    dual problem is smooth: minimise `log(sum(exp(B^T z))) - (v - slack) sum(z)` over `z >= 0`; then
    x = softmax(B^T z). It is solved by Newton's method with a logarithmic barrier.

    Args:
      payoffs: `[2, n_1, n_2]` with `payoffs[0] + payoffs[1] = 0`, up to float32 rounding.
      slack: the most that a player may lose against the value of the game, as a share of the typical (median)
        payoff gap, in (0, 0.1]. Changes of payoffs that are smaller than the slack change the strategies
        little; the strategies differ from those without slack by about as much.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`), do not belong to two players, or are
        not zero-sum, or the slack is out of its range.
      RuntimeError: no strategy was found that keeps to the slack.
    """
    payoffs = check_payoffs(payoffs)
    if not 0.0 < slack <= _LARGEST_SLACK:
        raise ValueError(
            f"max_entropy_nash: slack is {slack}; give a number above 0 and at most {_LARGEST_SLACK}"
        )
    unit = nash.unit_zero_sum("max_entropy_nash", payoffs)
    gaps = typical_gaps(unit)
    if not gaps.any():
        return ProductStrategy(tuple(np.full(size, 1.0 / size) for size in payoffs.shape[1:]))
    gap = gaps[gaps > 0.0].min()
    vertex = nash.solve_unit(unit)
    # Row i: what the player's policies earn against the other player's policy i, in typical gaps.
    rows, columns = vertex.marginals
    with one_blas_thread():
        spread = _spread(unit[0].T / gap, rows, slack), _spread(unit[1] / gap, columns, slack)
    return ProductStrategy(spread)


def _spread(payoffs: np.ndarray, secure: np.ndarray, slack: float) -> np.ndarray:
    """Returns the strategy `[n]` of maximum entropy that loses at most the slack against a secure strategy.

    Args:
      payoffs: `[m, n]`, the player's payoffs against each policy of the other player.
      secure: `[n]`, a strategy with the largest least payoff.
      slack: in the units of the payoffs.
    """
    value = (payoffs @ secure).min()
    excess = payoffs - value + slack
    # A row may be scaled by any positive number. This keeps outliers from dominating the arithmetic.
    excess /= np.maximum(1.0, np.abs(excess).max(axis=1, keepdims=True))
    duals = np.full(len(excess), 1.0 / len(excess))
    barrier = 1.0
    while True:
        duals = _minimise(excess, duals, barrier)
        if barrier <= _END:
            break
        barrier = max(_FALL * barrier, _END)
    strategy = _softmax(duals @ excess)
    missed = value - slack - (payoffs @ strategy).min()
    if not missed <= slack:
        raise RuntimeError(
            f"max_entropy_nash did not converge: its strategy misses the slack by {missed:g} of the typical "
            "payoff gap; use the meta-solver nash"
        )
    return strategy


def _minimise(excess: np.ndarray, duals: np.ndarray, barrier: float) -> np.ndarray:
    """Returns the minimiser `z > 0` of `log(sum(exp(E^T z))) - barrier * sum(log(z))`, by Newton's method.

    The slack and the value are part of E, because the entries of a softmax sum to 1.

    Args:
      excess: `[m, n]`, E.
      duals: `[m]`, the z to begin with, positive.
      barrier: the weight of the barrier, positive.
    """
    now = _objective(excess, duals, barrier)
    for _ in range(_MOST_STEPS):
        strategy = _softmax(duals @ excess)
        earned = excess @ strategy
        # In the variables log(z) the barrier's Hessian is a multiple of the identity, so that entries of very
        # different sizes do no harm.
        gradient = duals * earned - barrier
        centred = (excess - earned[:, None]) * np.sqrt(strategy) * duals[:, None]
        hessian = centred @ centred.T
        hessian[np.diag_indices_from(hessian)] += barrier
        try:
            step = -np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            # Payoffs of very different sizes leave no digits. The caller checks the strategy.
            break
        decrement = -(gradient @ step)
        if decrement <= _ENOUGH * barrier:
            break
        # Entries of z stay positive: a relative step of -1 would reach 0.
        size = min(1.0, 0.95 / max(1e-300, -step.min()))
        for _ in range(_MOST_HALVINGS):
            moved = duals * (1.0 + size * step)
            then = _objective(excess, moved, barrier)
            if then <= now - 0.01 * size * decrement:
                break
            size /= 2.0
        else:
            # Rounding errors are as large as what is left to gain.
            break
        duals, now = moved, then
    return duals


def _objective(excess: np.ndarray, duals: np.ndarray, barrier: float) -> float:
    exponents = duals @ excess
    largest = exponents.max()
    return float(largest + np.log(np.exp(exponents - largest).sum()) - barrier * np.log(duals).sum())


def _softmax(exponents: np.ndarray) -> np.ndarray:
    weights = np.exp(exponents - exponents.max())
    return weights / weights.sum()

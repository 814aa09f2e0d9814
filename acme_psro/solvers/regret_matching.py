"""Meta-solver by regret matching, in which players act in proportion to their positive regrets."""

from collections.abc import Sequence

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs, earned_against, own_tables, unit_payoffs
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.solvers.certificates import (
    embed,
    find_undominated,
    restrict,
    share_of_gap,
    typical_gaps,
)
from acme_psro.solvers.options import check_count

_ROUNDS = 1000
# The regret that is small enough, as a share of the typical payoff gap. In games of 30 policies, 1000 rounds
# leave about this much.
_ENOUGH = 1e-4
# Restarts begin with regrets of this size, in typical gaps. Large ones stay close to the strategy that a
# restart begins with, small ones soon forget it. Which of them converges depends on the game, so they take
# turns.
_INERTIA = (10.0, 1.0, 0.1)
_TURNS = 4
# Restarts end with a turn that leaves more than this share of the regret.
_HOPELESS = 0.9


def solve(payoffs: np.ndarray, *, iterations: int | None = None, predictive: bool = True) -> ProductStrategy:
    """Returns each player's average strategy over rounds of simultaneous regret matching.

    `predictive=False` is regret matching in expected payoffs (Hart & Mas-Colell 2000) with equal
    weights in the average, which is also the algorithm of OpenSpiel's `regret_matching`.

    `predictive=True` is predictive regret matching+ (Farina, Kroer & Sandholm 2021,
    arXiv:2007.14358). Cumulative regrets never fall below zero, the last round's regrets are added
    once more as a forecast of the next round's, and round t has weight t^2 in the average. A round
    costs the same in both algorithms. On 54 zero-sum meta-games of 3 to 150 policies, 1000
    predictive rounds left less regret than 10000 plain rounds in all games but one, typically by a
    factor of some hundreds.

    If 1000 predictive rounds leave more regret than a ten-thousandth of the typical (median) payoff
    gap, strictly dominated policies are removed and the rounds are restarted from the best average so
    far, up to 30000 rounds in total, as long as that reduces the regret. Without this, a single payoff
    that is far larger than the others leaves regrets that take very many rounds to wear off.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game. In two-player zero-sum games the averages approach a
        Nash equilibrium. In other games only the joint distribution of play approaches a coarse
        correlated equilibrium, and the result consists of the marginals of that distribution. It may have a
        large regret, whatever the number of rounds.
      iterations: the number of rounds, >= 1, without restarts. None means 1000, and restarts as described.
      predictive: True for predictive regret matching+, False for plain regret matching, which is never
        restarted.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`) or `iterations` is below 1.
    """
    payoffs = check_payoffs(payoffs)
    check_count("regret_matching", "iterations", iterations)
    # Strategies do not change if regrets are rescaled, but unit payoffs keep sums of regrets finite.
    unit = unit_payoffs(payoffs)
    nothing = [np.zeros(size) for size in payoffs.shape[1:]]
    average = _run(unit, nothing, _ROUNDS if iterations is None else iterations, predictive)
    if iterations is not None or not predictive or share_of_gap(unit, average) <= _ENOUGH:
        return average
    return _restart(unit, average)


def _restart(payoffs: np.ndarray, average: ProductStrategy) -> ProductStrategy:
    """Returns the strategy with the least regret after restarts from an average with too much regret."""
    kept = find_undominated(payoffs)
    # Without the dominated policies, payoffs may have another range.
    unit = unit_payoffs(restrict(payoffs, kept))
    gaps = typical_gaps(unit)
    best, least = average, share_of_gap(payoffs, average)
    for turn in range(1, _TURNS + 1):
        before = least
        for inertia in _INERTIA:
            # Players act in proportion to regrets, so these make them begin with the best average so far.
            scales = inertia * gaps
            regrets = [
                scale * marginal[own]
                for scale, marginal, own in zip(scales, best.marginals, kept, strict=True)
            ]
            restarted = embed(_run(unit, regrets, turn * _ROUNDS, True), kept, payoffs.shape[1:])
            regret = share_of_gap(payoffs, restarted)
            if regret < least:
                best, least = restarted, regret
            if least <= _ENOUGH:
                return best
        # In other kinds of games there may be no small regret to find, and rounds are slow with many players.
        if least > _HOPELESS * before:
            return best
    return best


def _run(
    payoffs: np.ndarray, regrets: Sequence[np.ndarray], iterations: int, predictive: bool
) -> ProductStrategy:
    """Returns the players' average strategies over rounds that begin with the given cumulative regrets.

    Args:
      payoffs: `[P, n_1, .., n_P]`.
      regrets: the cumulative regrets of each player's policies, `[n_p]`.
      iterations: the number of rounds.
      predictive: True for predictive regret matching+.
    """
    tables = own_tables(payoffs)
    regrets = [own.copy() for own in regrets]
    forecasts = [np.zeros(size) for size in payoffs.shape[1:]]
    totals = [np.zeros(size) for size in payoffs.shape[1:]]
    for iteration in range(1, iterations + 1):
        # All players move at once: the strategies are fixed before any regret of this round is added.
        strategies = [_match(*pair) for pair in zip(regrets, forecasts, strict=True)]
        weight = float(iteration) ** 2 if predictive else 1.0
        for player, strategy in enumerate(strategies):
            totals[player] += weight * strategy
            earned = earned_against(tables[player], strategies, player)
            instant = earned - earned @ strategy
            regrets[player] += instant
            if predictive:
                # Clipping lets a policy return as soon as it earns more again, without first making up
                # for all of its past losses (the "+" of regret matching+).
                np.maximum(regrets[player], 0.0, out=regrets[player])
                forecasts[player] = instant
    # The last strategies may cycle for ever; the convergence results are about the averages.
    return ProductStrategy(tuple(total / total.sum() for total in totals))


def _match(regrets: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Returns the strategy `[n]` in proportion to positive regrets."""
    positive = np.maximum(regrets + forecast, 0.0)
    total = positive.sum()
    if total > 0.0:
        return positive / total
    # No policy has positive regret, for example in the first round: any strategy satisfies the bound.
    return np.full(len(positive), 1.0 / len(positive))

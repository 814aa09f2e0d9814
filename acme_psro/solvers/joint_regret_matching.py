"""Meta-solvers for coarse correlated equilibria by regret minimisation: the average of joint play.

If all players minimise regret, the distribution of their joint play, round by round, approaches the coarse
correlated equilibria of any game: a deviation gains at most the largest regret divided by the number of
rounds (Hart & Mas-Colell 2000; Freund & Schapire 1999). The product of the players' average strategies does
not, in games that are not two-player zero-sum.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs, earned_against, own_tables, unit_payoffs
from acme_psro.meta_game.profiles import cell_probabilities, joint_of_cells
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from acme_psro.solvers.options import check_count

_ROUNDS = 2000

# (cumulative regrets `[n_p]`, number of past rounds) -> strategy `[n_p]`.
Strategy = Callable[[np.ndarray, int], np.ndarray]


def regret_matching_plus(payoffs: np.ndarray, *, iterations: int = _ROUNDS) -> JointStrategy:
    """Returns the average joint play of regret matching+ (Tammelin 2014), round t with weight t.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game.
      iterations: the number of rounds, >= 1.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`) or `iterations` is below 1.
    """

    def match(regrets: np.ndarray, rounds: int) -> np.ndarray:
        del rounds
        total = regrets.sum()
        return regrets / total if total > 0.0 else np.full(len(regrets), 1.0 / len(regrets))

    return _play(payoffs, iterations, match, is_plus=True)


def hedge(payoffs: np.ndarray, *, iterations: int = _ROUNDS) -> JointStrategy:
    """Returns the average joint play of Hedge with a decreasing rate, `sqrt(8 log(n) / t)`.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game.
      iterations: the number of rounds, >= 1.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`) or `iterations` is below 1.
    """

    def exponential(regrets: np.ndarray, rounds: int) -> np.ndarray:
        rate = np.sqrt(8.0 * np.log(max(2, len(regrets))) / (rounds + 1))
        weights = np.exp(rate * (regrets - regrets.max()))
        return weights / weights.sum()

    return _play(payoffs, iterations, exponential, is_plus=False)


def _play(payoffs: np.ndarray, iterations: int, strategy: Strategy, is_plus: bool) -> JointStrategy:
    """Returns the average joint play of players who follow a rule of regret.

    Args:
      payoffs: `[P, n_1, .., n_P]`.
      iterations: the number of rounds.
      strategy: the rule.
      is_plus: True to keep regrets from falling below 0, and to weigh round t with t instead of 1.
    """
    payoffs = check_payoffs(payoffs)
    check_count("regret_matching_cce" if is_plus else "hedge_cce", "iterations", iterations)
    tables = own_tables(unit_payoffs(payoffs))
    regrets = [np.zeros(size) for size in payoffs.shape[1:]]
    average = np.zeros(payoffs.shape[1:])
    for number in range(iterations):
        strategies = [strategy(own, number) for own in regrets]
        joint = cell_probabilities(ProductStrategy(tuple(strategies)), average.shape)
        average += (number + 1.0 if is_plus else 1.0) * joint
        for player, own in enumerate(strategies):
            # Everybody's deviations against the same joint play of this round.
            earned = earned_against(tables[player], strategies, player)
            regrets[player] += earned - earned @ own
            if is_plus:
                np.maximum(regrets[player], 0.0, out=regrets[player])
    return joint_of_cells(average / average.sum())

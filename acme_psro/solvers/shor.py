"""Meta-solvers of SHOR-PSRO, the smoothed hybrid of optimistic regret matching+ and a softmax.

An evolutionary search over programs found them (Li et al. 2026, arXiv:2602.16928, section 4.3 and listing
6): one to train against, whose exploration is annealed in the course of a run, and one to report. Both
blend regret matching+ on optimistic payoffs with a softmax of the payoffs, in every round.

Rounds, schedules and constants are the paper's. Two things are ours: the iteration of PSRO, on which the
schedule depends, is taken to be the size of the largest population, so that the solver stays a pure
function; and the sizes of that population, not of player 0's, set the number of rounds. The paper's softmax
is in the units of the payoffs, so that scaling all payoffs changes the answer; adding constants does not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs, earned_against, own_tables
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.solvers.options import check_count

# The iteration of PSRO after which nothing is annealed any more.
_ANNEALED = 75
# Gains and regrets below these count as zero (listing 6).
_LEAST_GAIN, _LEAST_REGRETS = 1e-8, 1e-12


class _Rounds(NamedTuple):
    """Settings of the rounds of both solvers.

    Attributes:
      number: the number of rounds.
      blend: the weight of the softmax against regret matching.
      temperature: of the softmax, in utility units.
      bonus: what a policy gains that is not played at all, in utility units.
      momentum: how far a trend of gains is extrapolated.
    """

    number: int
    blend: float
    temperature: float
    bonus: float
    momentum: float


def solve(payoffs: np.ndarray, *, iterations: int | None = None) -> ProductStrategy:
    """Returns the average strategies of the training solver.

    Over the first 75 iterations of PSRO the weight of the softmax falls from 0.3 to 0.05, its temperature
    from 0.5 to 0.01, and the bonus of policies that are not played from 0.05 to 0.001.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game.
      iterations: the number of rounds, >= 1. None means 1000, and 20 more for each further policy, at most
        5000.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`) or `iterations` is below 1.
    """
    payoffs = check_payoffs(payoffs)
    size = max(payoffs.shape[1:])
    progress = min(1.0, size / _ANNEALED)

    def annealed(first: float, last: float) -> float:
        return first * (1.0 - progress) + last * progress

    number = _checked("shor", iterations, min(1000 + 20 * (size - 1), 5000))
    settings = _Rounds(number, annealed(0.3, 0.05), annealed(0.5, 0.01), annealed(0.05, 0.001), momentum=0.5)
    return _play(payoffs, settings)[1]


def solve_evaluation(payoffs: np.ndarray, *, iterations: int | None = None) -> ProductStrategy:
    """Returns the last strategies of the solver for reporting, which explores next to nothing.

    Last strategies need not converge, whatever the number of rounds: if both players mix in the
    equilibrium, as in matching pennies, they may be pure, and leave much to gain.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game.
      iterations: the number of rounds, >= 1. None means 8000, and 50 more for each further policy, at most
        15000.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`) or `iterations` is below 1.
    """
    payoffs = check_payoffs(payoffs)
    default = min(8000 + 50 * (max(payoffs.shape[1:]) - 1), 15_000)
    number = _checked("shor_evaluation", iterations, default)
    return _play(payoffs, _Rounds(number, blend=0.01, temperature=0.001, bonus=0.0, momentum=0.2))[0]


def _checked(name: str, iterations: int | None, default: int) -> int:
    check_count(name, "iterations", iterations)
    return default if iterations is None else iterations


def _play(payoffs: np.ndarray, settings: _Rounds) -> tuple[ProductStrategy, ProductStrategy]:
    """Returns the last strategies and the average ones."""
    tables = own_tables(payoffs)
    strategies = [np.full(size, 1.0 / size) for size in payoffs.shape[1:]]
    regrets = [np.zeros(size) for size in payoffs.shape[1:]]
    gains_before = [np.zeros(size) for size in payoffs.shape[1:]]
    totals = [np.zeros(size) for size in payoffs.shape[1:]]
    for _ in range(settings.number):
        # Players take turns: later ones reply to the new strategies of earlier ones.
        for player, table in enumerate(tables):
            earned = earned_against(table, strategies, player)
            gains = earned - earned.sum() / len(earned)
            # The gain of the next round, if it changes as it did, and a bonus for policies that are not
            # played.
            expected = gains + settings.momentum * (gains - gains_before[player])
            expected += settings.bonus * (1.0 - strategies[player])
            gains_before[player] = gains
            largest = np.abs(expected).max()
            if largest > _LEAST_GAIN:
                expected /= largest
            regrets[player] = np.maximum(regrets[player] + expected, 0.0)
            total = regrets[player].sum()
            matched = regrets[player] / total if total > _LEAST_REGRETS else 1.0 / len(earned)
            weights = np.exp((earned - earned.max()) / settings.temperature)
            strategies[player] = (1.0 - settings.blend) * matched + settings.blend / weights.sum() * weights
            totals[player] += strategies[player]
    last = ProductStrategy(tuple(own / own.sum() for own in strategies))
    return last, ProductStrategy(tuple(total / total.sum() for total in totals))

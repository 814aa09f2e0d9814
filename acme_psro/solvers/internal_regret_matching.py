"""Meta-solver for correlated equilibria by regret minimisation: players regret each policy they could swap.

A player's internal regret of a for b is what it would have gained if it had played b whenever it played a
(Foster & Vohra 1999; Hart & Mas-Colell 2000). A strategy that these regrets leave unchanged, as the
stationary distribution of a chain that moves from a to b in proportion to the positive regret, makes them
grow slower than the number of rounds (Blum & Mansour 2007). The average joint play then approaches the
correlated equilibria of any game, as far as the regrets divided by the number of rounds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs, earned_against, own_tables, unit_payoffs
from acme_psro.meta_game.profiles import cell_probabilities, joint_of_cells
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from acme_psro.solvers.options import check_count
from acme_psro.system.cores import one_blas_thread

_ROUNDS = 2000
# Chance to begin anew in a chain, relative to its largest rate; without it, a policy that is not regretted
# could never be left.
_RESTART = 1e-9


class Play(NamedTuple):
    """Average of many rounds.

    Attributes:
      joint: the average joint play.
      regrets: for each player, `[n_p, n_p]`: what playing b in place of a would have gained, summed over all
        rounds, of payoffs in [0, 1].
    """

    joint: JointStrategy
    regrets: tuple[np.ndarray, ...]


def solve(payoffs: np.ndarray, *, iterations: int = _ROUNDS) -> JointStrategy:
    """Returns the average joint play of internal regret matching.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game.
      iterations: the number of rounds, >= 1.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`) or `iterations` is below 1.
    """
    return play(payoffs, iterations).joint


def play(payoffs: np.ndarray, iterations: int) -> Play:
    """Returns the average joint play, with regrets that bound what swapping policies gains in it.

    In the payoffs' units scaled to [0, 1], the gain of a player's best swaps in the average is at most the
    sum over a of the largest regret of a for any b, divided by the number of rounds.

    Args:
      payoffs: `[P, n_1, .., n_P]`.
      iterations: the number of rounds, >= 1.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`) or `iterations` is below 1.
    """
    payoffs = check_payoffs(payoffs)
    check_count("regret_matching_ce", "iterations", iterations)
    tables = own_tables(unit_payoffs(payoffs))
    sizes = payoffs.shape[1:]
    regrets = [np.zeros((size, size)) for size in sizes]
    total = np.zeros(sizes)
    with one_blas_thread():
        for _ in range(iterations):
            strategies = [_unchanged(own) for own in regrets]
            total += cell_probabilities(ProductStrategy(tuple(strategies)), sizes)
            for player, own in enumerate(strategies):
                earned = earned_against(tables[player], strategies, player)
                regrets[player] += own[:, None] * (earned[None] - earned[:, None])
    return Play(joint_of_cells(total / total.sum()), tuple(regrets))


def _unchanged(regrets: np.ndarray) -> np.ndarray:
    """Returns `[n]`: the stationary distribution of the chain whose rates are positive regrets `[n, n]`."""
    size = len(regrets)
    rates = np.maximum(regrets, 0.0)
    largest = rates.max()
    if largest <= 0.0:
        return np.full(size, 1.0 / size)
    rates = rates / largest + _RESTART / size
    # Flow out of each policy equals flow into it; one of these equations follows from the others, and the sum
    # of all probabilities takes its place.
    balance = rates.T - np.diag(rates.sum(axis=1))
    balance[-1] = 1.0
    found = np.maximum(np.linalg.solve(balance, np.eye(size)[-1]), 0.0)
    stationary: np.ndarray = found / found.sum()
    return stationary

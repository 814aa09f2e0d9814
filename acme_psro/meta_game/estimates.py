"""Payoff tensors by simulation: means with counts and standard errors, refined where they matter.

Dimensions: `P` players, `n_p` policies of player p; a *cell* is a profile; `m` cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.meta_game import simulation
from acme_psro.meta_game.payoffs import deviation_payoffs, empty_payoffs, extend_payoffs
from acme_psro.meta_game.profiles import cell_probabilities, others_probabilities
from acme_psro.meta_game.simulation import SampledReturns
from acme_psro.policies.meta_strategy import PopulationStrategy

# (cells `[m, P]` int, episodes of each `[m]`, episodes of each played before `[m]`) -> their returns.
Play = Callable[[np.ndarray, np.ndarray, np.ndarray], SampledReturns]
Solve = Callable[[np.ndarray], PopulationStrategy]

# Deviations whose payoffs are so many standard errors apart may still change places.
_CONTENDING = 2.0


class SampledPayoffs(NamedTuple):
    """A payoff tensor and its accuracy, in utility units.

    Attributes:
      mean: `[P, n_1, .., n_P]` float64; NaN without episodes.
      episodes: `[n_1, .., n_P]` int64, the number of episodes behind each mean.
      standard_error: `[P, n_1, .., n_P]` float64, of the mean; NaN below two episodes.
    """

    mean: np.ndarray
    episodes: np.ndarray
    standard_error: np.ndarray


def empty(num_players: int) -> SampledPayoffs:
    """Returns the payoffs of populations without policies."""
    nothing = empty_payoffs(num_players)
    return SampledPayoffs(nothing, np.zeros(nothing.shape[1:], np.int64), nothing.copy())


def extend(payoffs: SampledPayoffs, sizes: Sequence[int]) -> SampledPayoffs:
    """Returns payoffs for populations of the given sizes: known cells are kept, new ones are NaN.

    Raises:
      ValueError: sizes below the present ones; populations only grow.
    """
    mean = extend_payoffs(payoffs.mean, sizes)
    count = np.zeros(tuple(sizes), np.int64)
    count[tuple(slice(size) for size in payoffs.episodes.shape)] = payoffs.episodes
    return SampledPayoffs(mean, count, extend_payoffs(payoffs.standard_error, sizes))


def fill(play: Play, payoffs: SampledPayoffs, sizes: Sequence[int], episodes: int) -> SampledPayoffs:
    """Returns payoffs for populations of the given sizes, every cell from at least `episodes` episodes.

    Args:
      play: simulates cells.
      payoffs: payoffs of smaller populations, or of these.
      sizes: numbers of policies of each player.
      episodes: 2 or more, as one alone says nothing of the error.

    Raises:
      ValueError: too few episodes, or sizes below the present ones.
    """
    if episodes < 2:
        raise ValueError(f"a payoff needs at least 2 episodes, so that its error is known, not {episodes}.")
    grown = extend(payoffs, sizes)
    return _add(play, grown, np.maximum(episodes - grown.episodes, 0))


def more_where_uncertain(
    play: Play, payoffs: SampledPayoffs, solve: Solve, budget: int, rounds: int = 4
) -> SampledPayoffs:
    """Simulates further episodes of the cells on which the meta-solver's answer depends.

    The answer depends on the return of the meta-strategy, and on the return of each deviation that may be the
    best. Both are sums over cells, each weighted by the probability of getting there. Episodes are shared out
    as Neyman (1934) does for such sums: so that in the end each cell has had its part of them in proportion
    to the largest such probability (see `influence`) times the deviation of its returns. They come in rounds,
    and the meta-game is solved anew before each.

    Args:
      play: simulates cells.
      payoffs: every cell from two episodes or more.
      solve: the meta-solver.
      budget: the total number of episodes.
      rounds: the number of rounds in which they are simulated.

    Raises:
      ValueError: a budget that is negative, no rounds, or cells that were not played.
    """
    if budget < 0 or rounds < 1:
        raise ValueError(f"budget must not be negative and rounds at least 1, not {budget} and {rounds}.")
    if (payoffs.episodes < 2).any():
        raise ValueError("every payoff needs 2 episodes before some get more: fill the payoffs first.")
    for part in range(rounds):
        # Differences of rounded totals, so that the rounds sum to the budget exactly.
        episodes = budget * (part + 1) // rounds - budget * part // rounds
        deviation = deviations(payoffs)
        weight = influence(payoffs, solve(payoffs.mean), deviation) * np.sqrt((deviation**2).sum(axis=0))
        payoffs = _add(play, payoffs, share_out(weight, payoffs.episodes, episodes))
    return payoffs


def deviations(payoffs: SampledPayoffs) -> np.ndarray:
    """Returns `[P, n_1, .., n_P]`: estimated standard deviations of a single episode's returns.

    Each is estimated as if the cell had one more degree of freedom, with the mean variance of all cells: a
    cell whose first few episodes had equal returns is not treated as certain.
    """
    freedom = payoffs.episodes - 1
    squares = np.square(payoffs.standard_error) * payoffs.episodes * freedom
    cells = tuple(range(1, squares.ndim))
    pooled = squares.sum(axis=cells, keepdims=True) / freedom.sum()
    return np.sqrt((squares + pooled) / payoffs.episodes)


def influence(
    payoffs: SampledPayoffs, meta_strategy: PopulationStrategy, deviation: np.ndarray
) -> np.ndarray:
    """Returns `[n_1, .., n_P]`: each cell's largest probability under the meta-strategy or a contender.

    A deviation is one player's to one of its policies; it contends while what it earns is within two
    standard errors of the best one's.

    Args:
      payoffs: every cell from two episodes or more.
      meta_strategy: the solver's answer.
      deviation: see `deviations`.
    """
    sizes = payoffs.episodes.shape
    most = cell_probabilities(meta_strategy, sizes)
    variance = np.square(deviation) / payoffs.episodes
    for player in range(len(sizes)):
        earned = deviation_payoffs(payoffs.mean, meta_strategy, player)
        others = others_probabilities(meta_strategy, sizes, player)
        # The variance of a sum of independent means weighs each variance with the squared weight.
        axes = tuple(axis for axis in range(len(sizes)) if axis != player)
        error = np.sqrt((variance[player] * np.square(others)).sum(axis=axes))
        best = int(np.argmax(earned))
        contends = earned[best] - earned <= _CONTENDING * np.hypot(error, error[best])
        # A deviation is played with certainty, so the others' probabilities alone decide.
        shape = [-1 if other == player else 1 for other in range(len(sizes))]
        most = np.maximum(most, others * contends.reshape(shape))
    return most


def share_out(weight: np.ndarray, count: np.ndarray, budget: int) -> np.ndarray:
    """Returns episodes of each cell, summing to the budget, that bring counts closest to the weights.

    No cell loses any: those that have had more than their part get none, and the others share.

    Args:
      weight: not negative, of any shape; if all are 0, no episodes are distributed.
      count: episodes so far.
      budget: the number of episodes to distribute.
    """
    flat, before = weight.ravel(), count.ravel().astype(np.float64)
    wanting = np.flatnonzero(flat > 0)
    if budget == 0 or not wanting.size:
        return np.zeros_like(count)
    # The level up to which counts over weights are filled: each cell joins once the level has reached it.
    order = wanting[np.argsort(before[wanting] / flat[wanting], kind="stable")]
    levels = (budget + np.cumsum(before[order])) / np.cumsum(flat[order])
    joined = np.flatnonzero(levels > before[order] / flat[order])[-1]
    share = np.zeros_like(before)
    chosen = order[: joined + 1]
    # Rounding may take a little from a cell that has just its part.
    share[chosen] = np.maximum(levels[joined] * flat[chosen] - before[chosen], 0.0)
    # Largest remainders are rounded up. The stable sort settles ties by index, so that runs are reproducible.
    whole = np.floor(share)
    left = budget - int(whole.sum())
    whole[np.argsort(whole - share, kind="stable")[:left]] += 1
    return whole.astype(np.int64).reshape(count.shape)


def _add(play: Play, payoffs: SampledPayoffs, episodes: np.ndarray) -> SampledPayoffs:
    """Simulates `episodes` `[n_1, .., n_P]` further episodes of the cells, and merges them."""
    cells = np.argwhere(episodes > 0)
    if not len(cells):
        return payoffs
    at = tuple(cells.T)
    every = (slice(None), *at)
    played = play(cells, episodes[at], payoffs.episodes[at])
    # Merged instead of simulated anew: earlier episodes keep their value for the estimate.
    before = SampledReturns(payoffs.episodes[at], payoffs.mean[every].T, payoffs.standard_error[every].T)
    after = simulation.merge(before, played)
    mean, count, error = (field.copy() for field in payoffs)
    mean[every], count[at], error[every] = after.mean.T, after.episodes, after.standard_error.T
    return SampledPayoffs(mean, count, error)

"""Certificates of meta-strategies: their regret in the meta-game, in relation to the payoffs.

The regret of a strategy is the most that a player gains by one of its own policies, or, if it should be a
correlated equilibrium, by one for each policy that is recommended to it. A solver that iterates needs it,
because nothing else tells a good answer from a bad one.
"""

from collections.abc import Sequence

import numpy as np

from acme_psro.meta_game.payoffs import meta_regret, unit_payoffs
from acme_psro.meta_game.profiles import recommendation_gains
from acme_psro.policies.meta_strategy import PopulationStrategy, ProductStrategy
from acme_psro.solvers.properties import Concept


def regret(
    payoffs: np.ndarray, meta_strategy: PopulationStrategy, concept: Concept = Concept.NASH
) -> np.ndarray:
    """Returns `[P]`, >= 0: each player's regret; all zeros exactly if the concept is satisfied.

    Args:
      payoffs: `[P, n_1, .., n_P]`.
      meta_strategy: over populations of these sizes.
      concept: the solution concept.

    Raises:
      ValueError: the meta-strategy does not match the payoffs.
    """
    if concept is Concept.CE:
        return recommendation_gains(payoffs, meta_strategy)
    return meta_regret(payoffs, meta_strategy)


def share_of_range(
    payoffs: np.ndarray, meta_strategy: PopulationStrategy, concept: Concept = Concept.NASH
) -> float:
    """Returns the largest regret of any player, as a share of the range of that player's payoffs.

    Args:
      payoffs: float64 `[P, n_1, .., n_P]`, finite.
      meta_strategy: over populations of these sizes.
      concept: the solution concept.
    """
    return float(regret(unit_payoffs(payoffs), meta_strategy, concept).max())


def share_of_gap(
    payoffs: np.ndarray, meta_strategy: PopulationStrategy, concept: Concept = Concept.NASH
) -> float:
    """Returns the largest regret of any player, as a share of that player's typical gap.

    Other than `share_of_range`, this does not become small because a single payoff is large.

    Args:
      payoffs: float64 `[P, n_1, .., n_P]`, finite.
      meta_strategy: over populations of these sizes.
      concept: the solution concept.
    """
    unit = unit_payoffs(payoffs)
    gaps = typical_gaps(unit)
    # A player without gaps has no regret either.
    return float((regret(unit, meta_strategy, concept) / np.where(gaps > 0.0, gaps, 1.0)).max())


def typical_gaps(payoffs: np.ndarray) -> np.ndarray:
    """Returns `[P]`, the median loss of a player's policies against its best one, in a pure profile.

    Policies that lose nothing do not count. A player whose policies all earn the same has a gap of 0.

    Args:
      payoffs: float64 `[P, n_1, .., n_P]`, finite.
    """
    medians = np.zeros(len(payoffs))
    for player, table in enumerate(payoffs):
        gaps = table.max(axis=player, keepdims=True) - table
        if (gaps > 0.0).any():
            medians[player] = np.median(gaps[gaps > 0.0])
    return medians


def find_undominated(payoffs: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns the indices of each player's policies that survive iterated strict dominance.

    A policy is dominated if another one of the same player earns more against all profiles of the others that
    are left. No equilibrium gives weight to such a policy.

    Args:
      payoffs: float64 `[P, n_1, .., n_P]`, finite.
    """
    kept = [np.arange(size) for size in payoffs.shape[1:]]
    while True:
        left = [_undominated(table, player) for player, table in enumerate(restrict(payoffs, kept))]
        if all(mask.all() for mask in left):
            return tuple(kept)
        kept = [own[mask] for own, mask in zip(kept, left, strict=True)]


def restrict(payoffs: np.ndarray, kept: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the payoff tensor of some of each player's policies.

    Args:
      payoffs: `[P, n_1, .., n_P]`.
      kept: the indices of these policies, for each player.
    """
    for player, own in enumerate(kept):
        payoffs = payoffs.take(own, axis=1 + player)
    return payoffs


def embed(
    meta_strategy: ProductStrategy, kept: tuple[np.ndarray, ...], sizes: tuple[int, ...]
) -> ProductStrategy:
    """Returns a meta-strategy over all policies from one over some of them; the others get no weight.

    Args:
      meta_strategy: over the policies that were kept.
      kept: the indices of these policies, for each player.
      sizes: the number of all policies of each player.
    """
    marginals = [np.zeros(size) for size in sizes]
    for whole, own, marginal in zip(marginals, kept, meta_strategy.marginals, strict=True):
        whole[own] = marginal
    return ProductStrategy(tuple(marginals))


def _undominated(table: np.ndarray, player: int) -> np.ndarray:
    """Returns `[n]` bool: False for policies that another policy of the player beats everywhere."""
    rows = np.moveaxis(table, player, 0).reshape(table.shape[player], -1)
    return ~np.array([(rows > row).all(axis=1).any() for row in rows])

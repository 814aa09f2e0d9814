"""Mixtures of policies on a graph: checks, and expected returns when both players draw from theirs.

Dimensions: `O` observations over all players, `A` actions, `K` members of a mixture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.games import sweeps
from acme_psro.games.graph import GameGraph

# Largest difference between a sum of probabilities and 1 that is explained by rounding.
_ROUNDING = 1e-6


class Mixture(NamedTuple):
    """Policies of one player, one of which is drawn for a whole episode.

    Attributes:
      tables: `[K, O, A]` float64, of which the player's own rows count.
      weights: `[K]` float64, all above 0.
    """

    tables: np.ndarray
    weights: np.ndarray


def make_mixture(graph: GameGraph, player: int, tables: np.ndarray, weights: np.ndarray) -> Mixture:
    """Checks a player's mixture, and joins members that play the same.

    Args:
      graph: the game.
      player: whose mixture it is.
      tables: `[K, O, A]`.
      weights: `[K]`.

    Raises:
      ValueError: shapes do not agree, or rows or weights are no distributions.
    """
    tables, weights = np.asarray(tables, np.float64), np.array(weights, np.float64)
    expected = graph.legal_actions.shape
    if tables.ndim != 3 or tables.shape[1:] != expected or not len(tables):
        raise ValueError(
            f"player {player}'s policies have shape {tables.shape}, not (K, {expected[0]}, {expected[1]}): "
            "give K tables with a row for each observation of the graph, not for each information state."
        )
    # Written so that NaN is caught.
    if weights.shape != tables.shape[:1] or not (weights.min() >= 0 and abs(weights.sum() - 1) <= _ROUNDING):
        raise ValueError(
            f"player {player}'s weights are {weights.tolist()}: give {len(tables)} probabilities, one a "
            "policy, that add up to 1."
        )
    own = graph.observations_of(player)
    first_with: dict[bytes, int] = {}
    for member in map(int, np.flatnonzero(weights)):
        sweeps.check_table(graph, tables[member], player)
        first = first_with.setdefault(tables[member, own].tobytes(), member)
        if first != member:
            weights[first] += weights[member]
            weights[member] = 0.0
    return Mixture(tables[weights > 0], weights[weights > 0])


def mixture_returns(graph: GameGraph, mixtures: Sequence[Mixture]) -> np.ndarray:
    """Computes each player's expected return, `[2]` float64, when both draw a member for the episode."""
    payoffs = sweeps.payoffs(graph, [mixture.tables for mixture in mixtures])
    return np.einsum("pij,i,j->p", payoffs, mixtures[0].weights, mixtures[1].weights)

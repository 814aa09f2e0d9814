"""Mixtures of policies on a graph: checks, what a responder meets, and what all earn who draw from theirs.

Dimensions: `O` observations over all players, `A` actions, `P` players, `K` members of a mixture, `K_p` of
player p's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.evaluation.belief_levels import MemoryBoundError
from acme_psro.games import sweeps
from acme_psro.games.graph import GameGraph

# Largest difference between a sum of probabilities and 1 that is explained by rounding.
_ROUNDING = 1e-6
# Of a probability, in a table and in its copy.
_BYTES = 16


class Mixture(NamedTuple):
    """Policies of one player, or profiles of several, one of which is drawn for a whole episode.

    Attributes:
      tables: `[K, O, A]` float64, of which the rows of these players count.
      weights: `[K]` float64, all above 0.
    """

    tables: np.ndarray
    weights: np.ndarray


def make_mixture(
    graph: GameGraph, players: Sequence[int], tables: np.ndarray, weights: np.ndarray
) -> Mixture:
    """Checks a mixture, and joins members that play the same.

    Args:
      graph: the game.
      players: whose policies are drawn together.
      tables: `[K, O, A]`, of which the rows of these players count.
      weights: `[K]`.

    Raises:
      ValueError: shapes do not agree, or rows or weights are no distributions.
    """
    tables, weights = np.asarray(tables, np.float64), np.array(weights, np.float64)
    expected, whose = graph.legal_actions.shape, _whose(players)
    if tables.ndim != 3 or tables.shape[1:] != expected or not len(tables):
        raise ValueError(
            f"{whose} policies have shape {tables.shape}, not (K, {expected[0]}, {expected[1]}): "
            "give K tables with a row for each observation of the graph, not for each information state."
        )
    # Written so that NaN is caught.
    if weights.shape != tables.shape[:1] or not (weights.min() >= 0 and abs(weights.sum() - 1) <= _ROUNDING):
        raise ValueError(
            f"{whose} weights are {weights.tolist()}: give {len(tables)} probabilities, one a "
            "policy, that add up to 1."
        )
    first_with: dict[bytes, int] = {}
    for member in map(int, np.flatnonzero(weights)):
        for player in players:
            sweeps.check_table(graph, tables[member], player)
        played = b"".join(tables[member, graph.observations_of(player)].tobytes() for player in players)
        first = first_with.setdefault(played, member)
        if first != member:
            weights[first] += weights[member]
            weights[member] = 0.0
    return Mixture(tables[weights > 0], weights[weights > 0])


def drawn_together(
    graph: GameGraph,
    player: int,
    tables: Sequence[np.ndarray],
    profiles: np.ndarray,
    probabilities: np.ndarray,
    max_bytes: int,
) -> Mixture:
    """Returns the mixture that a responder meets: profiles of all other players.

    Args:
      graph: the game.
      player: the responder.
      tables: for each player p its policies `[K_p, O, A]`; the responder's own do not count.
      profiles: `[K, P]` int, the policies that the others draw together; the responder's column does not
        count.
      probabilities: `[K]`, positive.
      max_bytes: the largest size of the profiles' tables.

    Raises:
      MemoryBoundError: they would be larger.
      ValueError: rows or probabilities are no distributions.
    """
    if len(profiles) * graph.legal_actions.size * _BYTES > max_bytes:
        raise MemoryBoundError(
            f"player {player} may meet {len(profiles):,} profiles of policies, whose tables do not fit the "
            "memory bound: raise max_gigabytes, or evaluate mixtures of fewer members."
        )
    others = others_of(graph, player)
    joined = np.tile(graph.uniform_policy(), (len(profiles), 1, 1))
    for other in others:
        own = graph.observations_of(other)
        joined[:, own] = tables[other][profiles[:, other], own]
    return make_mixture(graph, others, joined, probabilities)


def drawn_apart(graph: GameGraph, player: int, mixtures: Sequence[Mixture], max_bytes: int) -> Mixture:
    """Returns the mixture that a responder meets if each other player draws from a mixture of its own.

    Args:
      graph: the game.
      player: the responder.
      mixtures: one a player; the responder's own does not count.
      max_bytes: see `drawn_together`.

    Raises:
      MemoryBoundError: the profiles' tables would be larger.
    """
    others = others_of(graph, player)
    if len(others) == 1:
        return mixtures[others[0]]
    sizes = [1 if each == player else len(mixture.weights) for each, mixture in enumerate(mixtures)]
    profiles = np.indices(sizes).reshape(len(sizes), -1).T
    probabilities = np.prod([mixtures[other].weights[profiles[:, other]] for other in others], axis=0)
    tables = [mixture.tables for mixture in mixtures]
    return drawn_together(graph, player, tables, profiles, probabilities, max_bytes)


def others_of(graph: GameGraph, player: int) -> tuple[int, ...]:
    """Returns all players but one."""
    return tuple(other for other in range(graph.num_players) if other != player)


def mixture_returns(graph: GameGraph, mixtures: Sequence[Mixture]) -> np.ndarray:
    """Computes each player's expected return, `[P]` float64, when each draws a member for the episode."""
    payoffs = sweeps.payoffs(graph, [mixture.tables for mixture in mixtures])
    for mixture in mixtures:
        # The next player's members are the first axis behind the players' payoffs.
        payoffs = np.tensordot(payoffs, mixture.weights, axes=(1, 0))
    return payoffs


def _whose(players: Sequence[int]) -> str:
    """Returns the genitive of players for messages, as "player 1's" or "players 0 and 2's"."""
    *rest, last = map(str, players)
    return f"players {', '.join(rest)} and {last}'s" if rest else f"player {last}'s"

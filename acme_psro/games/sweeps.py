"""Exact expected returns of policies on a `GameGraph`, by sweeps from the root to the ends of the game.

A sweep moves probability over the edges: layer by layer if the graph is acyclic, and move by move up to the
horizon if it is cyclic. Many profiles of policies are swept at once. A mixture of policies is not a policy on
a graph, as the member that was drawn must be remembered, but its expected returns are the weighted sum of its
members' ones.

Dimensions: `B` profiles in one sweep, `K_p` members of player p; the others are those of `graph.py`. A table
is `[O, A]` and holds a policy of each player, in the rows of its own observations.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.games import compiled
from acme_psro.games.graph import GameGraph
from acme_psro.games.layers import edges_of, find_layers

# Numbers that one sweep may hold for each of its arrays.
_MOST_NUMBERS = 8_000_000


class Wave(NamedTuple):
    """Edges over which probability moves at the same time, ordered by the nodes behind them.

    Attributes:
      edge: `[e]`, the edges.
      source: `[e]`, the nodes before them.
      begin: `[n]`, the position of the first edge to each of the nodes behind them.
      node: `[n]`, these nodes.
      by_player: for each player, the positions of its edges, and their entries in a flattened table.
    """

    edge: np.ndarray
    source: np.ndarray
    begin: np.ndarray
    node: np.ndarray
    by_player: tuple[tuple[np.ndarray, np.ndarray], ...]


class Sweep(NamedTuple):
    """Result of a sweep.

    Attributes:
      returns: `[B, P]` expected returns.
      visits: `[B, N]`, how often each node is expected to be visited before the horizon of an episode.
    """

    returns: np.ndarray
    visits: np.ndarray


def expected_returns(graph: GameGraph, table: np.ndarray) -> np.ndarray:
    """Computes each player's expected return `[P]` if all play by one table `[O, A]`.

    Raises:
      ValueError: the table has another shape, or a row that is no distribution over legal actions.
    """
    return payoffs(graph, [table[None]] * graph.num_players).reshape(graph.num_players)


def observation_visits(graph: GameGraph, table: np.ndarray) -> np.ndarray:
    """Computes how often each observation is expected to be met in an episode, `[O]`.

    Raises:
      ValueError: the table has another shape, or a row that is no distribution over legal actions.
    """
    check_table(graph, table)
    visits = _sweep(graph, [table[None]] * graph.num_players, np.zeros((1, graph.num_players), int)).visits
    return by_observation(graph, visits[0])


def by_observation(graph: GameGraph, visits: np.ndarray) -> np.ndarray:
    """Returns the sums `[O]` of nodes' visits `[N]` by what movers observe there."""
    # Row -1 of nodes at which no player moves is counted as the first, and dropped.
    return np.bincount(graph.observation + 1, visits, graph.num_observations + 1)[1:]


def payoffs(graph: GameGraph, tables: Sequence[np.ndarray]) -> np.ndarray:
    """Computes the expected returns of all combinations of members.

    Args:
      graph: the game.
      tables: for each player `[K_p, O, A]`, its members. Only the rows of its own observations are used.

    Returns:
      `[P, K_0, K_1, ..]` float64.

    Raises:
      ValueError: a table has another shape, or a row that is no distribution over legal actions.
    """
    shape = tuple(len(members) for members in tables)
    profiles = np.indices(shape).reshape(len(shape), -1).T
    return returns_of_profiles(graph, tables, profiles).T.reshape(graph.num_players, *shape)


def returns_of_profiles(graph: GameGraph, tables: Sequence[np.ndarray], profiles: np.ndarray) -> np.ndarray:
    """Computes the expected returns of some combinations of members.

    Args:
      graph: the game.
      tables: as of `payoffs`.
      profiles: `[B, P]`, the number of each player's member.

    Returns:
      `[B, P]` float64.

    Raises:
      ValueError: a table has another shape, or a row that is no distribution over legal actions.
    """
    for player, members in enumerate(tables):
        for member in members:
            check_table(graph, member, player)
    at_once = max(1, _MOST_NUMBERS // max(graph.num_nodes, *(len(wave.edge) for wave in waves(graph))))
    returns = [
        _sweep(graph, tables, profiles[start : start + at_once]).returns
        for start in range(0, len(profiles), at_once)
    ]
    return np.concatenate(returns)


def check_table(graph: GameGraph, table: np.ndarray, player: int | None = None) -> None:
    """Checks that a table holds a policy of a player, or of each player.

    Raises:
      ValueError: the table has another shape, or a row that is no distribution over legal actions.
    """
    compiled.check_table(graph, table, "observation", player)


def _sweep(graph: GameGraph, tables: Sequence[np.ndarray], profiles: np.ndarray) -> Sweep:
    """Moves the probability of profiles, `[B, P]` numbers of members, over all edges."""
    flat = [members.reshape(len(members), -1) for members in tables]
    visits = np.zeros((len(profiles), graph.num_nodes))
    visits[:, 0] = 1.0
    returns = np.zeros((len(profiles), graph.num_players))
    if not graph.is_cyclic:
        for wave in waves(graph):
            flow = visits[:, wave.source] * _probabilities(graph, flat, profiles, wave)
            returns += flow @ graph.reward[wave.edge]
            visits[:, wave.node] += np.add.reduceat(flow, wave.begin, axis=1)
        return Sweep(returns, visits)
    (wave,) = waves(graph)
    probabilities = _probabilities(graph, flat, profiles, wave)
    now = visits.copy()
    for moves in range(1, graph.max_moves + 1):
        flow = now[:, wave.source] * probabilities
        if not flow.any():
            break
        returns += flow @ graph.reward[wave.edge]
        now = np.zeros_like(now)
        now[:, wave.node] = np.add.reduceat(flow, wave.begin, axis=1)
        # After the last move the episode is over, at whatever node.
        if moves < graph.max_moves:
            visits += now
    return Sweep(returns, visits)


def edge_probabilities(graph: GameGraph, table: np.ndarray) -> np.ndarray:
    """Returns the probability of each edge if all players play by one table `[O, A]`, `[E]`."""
    flat, profile = [table.reshape(1, -1)] * graph.num_players, np.zeros((1, graph.num_players), int)
    probabilities = np.empty(graph.num_edges)
    for wave in waves(graph):
        probabilities[wave.edge] = _probabilities(graph, flat, profile, wave)[0]
    return probabilities


def _probabilities(
    graph: GameGraph, flat: Sequence[np.ndarray], profiles: np.ndarray, wave: Wave
) -> np.ndarray:
    """Returns the probability of each edge of a wave under each profile, `[B, e]`."""
    probabilities = np.tile(graph.probability[wave.edge], (len(profiles), 1))
    for members, chosen, (positions, entries) in zip(flat, profiles.T, wave.by_player, strict=True):
        probabilities[:, positions] = members[:, entries][chosen]
    return probabilities


@functools.lru_cache(maxsize=4)
def waves(graph: GameGraph) -> tuple[Wave, ...]:
    """Returns the edges by layers, or all together if the graph is cyclic."""
    layer = find_layers(graph.first_edge, graph.num_children, graph.successor)
    if graph.is_cyclic or layer is None:
        return (_wave(graph, np.arange(graph.num_edges)),)
    inner = np.flatnonzero(graph.num_children)
    inner = inner[np.argsort(layer[inner], kind="stable")]
    ends = np.searchsorted(layer[inner], np.arange(1, layer.max() + 1))
    parts = (edges_of(graph.first_edge, graph.num_children, nodes) for nodes in np.split(inner, ends[:-1]))
    return tuple(_wave(graph, edges) for edges in parts)


def _wave(graph: GameGraph, edges: np.ndarray) -> Wave:
    """Returns a wave of some edges."""
    edge = edges[np.argsort(graph.successor[edges], kind="stable")]
    node, begin = np.unique(graph.successor[edge], return_index=True)
    mover = graph.player[graph.source[edge]]
    own = [np.flatnonzero(mover == player) for player in range(graph.num_players)]
    return Wave(
        edge=edge,
        source=graph.source[edge],
        begin=begin,
        node=node,
        by_player=tuple((positions, graph.entry[edge[positions]]) for positions in own),
    )

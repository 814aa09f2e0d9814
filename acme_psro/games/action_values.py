"""Exact values of actions on a `GameGraph`, by one sweep from the root and one back from the ends.

Dimensions: those of `acme_psro.games.sweeps`.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from acme_psro.games.graph import GameGraph
from acme_psro.games.sweeps import by_observation, check_table, edge_probabilities, waves


class ActionValues(NamedTuple):
    """Values of actions if all players play by one table.

    Attributes:
      values: `[O, A]`, what the mover is expected to earn from the action on, in the game's utility units:
        the mean over the nodes of an observation, weighted by their visits. 0 for illegal actions, and for
        observations that are never met.
      visits: `[O]`, the probability that an observation is met in an episode; summed over its nodes.
    """

    values: np.ndarray
    visits: np.ndarray


def action_values(graph: GameGraph, table: np.ndarray) -> ActionValues:
    """Computes the values of all actions under a table `[O, A]` of all players' policies.

    The products of visits and values are the gradient of the mover's expected return by its probabilities
    (Sutton et al. 1999, "Policy gradient methods for reinforcement learning with function approximation").

    Raises:
      ValueError: the table has another shape or a row that is no distribution over legal actions, or the game
        is cyclic: values would depend on the moves that are left.
    """
    check_table(graph, table)
    if graph.is_cyclic:
        raise ValueError(
            "a state of the game can come back, and values depend on the moves that are left: choose a game "
            "without cycles."
        )
    probability = edge_probabilities(graph, table)
    # Not by a sweep of profiles, which also computes returns: an update would take 40 % longer.
    visits = np.zeros(graph.num_nodes)
    visits[0] = 1.0
    for wave in waves(graph):
        flow = visits[wave.source] * probability[wave.edge]
        visits[wave.node] += np.add.reduceat(flow, wave.begin)
    earned = _earned_behind(graph, probability)
    deciding = np.flatnonzero(graph.player[graph.source] >= 0)
    shape = graph.legal_actions.shape
    entries = graph.entry[deciding]
    weights = visits[graph.source[deciding]]
    met = by_observation(graph, visits)
    sums = np.bincount(entries, weights * earned[deciding], shape[0] * shape[1]).reshape(shape)
    return ActionValues(np.divide(sums, met[:, None], out=np.zeros(shape), where=met[:, None] > 0), met)


def _earned_behind(graph: GameGraph, probability: np.ndarray) -> np.ndarray:
    """Returns what the mover before each edge earns from that move on, `[E]`; 0 for moves of chance."""
    values = np.zeros((graph.num_nodes, graph.num_players))
    earned = np.zeros((graph.num_edges, graph.num_players))
    for branch in _branches(graph):
        own = graph.reward[branch.edge] + values[graph.successor[branch.edge]]
        earned[branch.edge] = own
        values[branch.node] = np.add.reduceat(probability[branch.edge, None] * own, branch.begin)
    mover = graph.player[graph.source]
    chosen = np.take_along_axis(earned, np.maximum(mover, 0)[:, None].astype(np.intp), axis=1)[:, 0]
    return np.where(mover >= 0, chosen, 0.0)


class _Branches(NamedTuple):
    """Edges out of the nodes of a layer, ordered by these nodes.

    Attributes:
      edge: `[e]`, the edges.
      begin: `[n]`, the position of the first edge out of each node.
      node: `[n]`, the nodes.
    """

    edge: np.ndarray
    begin: np.ndarray
    node: np.ndarray


@functools.lru_cache(maxsize=4)
def _branches(graph: GameGraph) -> tuple[_Branches, ...]:
    """Returns the edges by layers, the last layer first."""
    found = []
    for wave in reversed(waves(graph)):
        order = np.argsort(wave.source, kind="stable")
        node, begin = np.unique(wave.source[order], return_index=True)
        found.append(_Branches(wave.edge[order], begin, node))
    return tuple(found)

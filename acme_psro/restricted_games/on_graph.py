"""Restricted games of a `GameGraph`: what allowed actions lead to, as a graph of its own.

A restricted game may be a small part of a game that is too large for a tree. It is not enumerated as one
either: with a few responses a player, its histories are many times its merged states.

Dimensions: those of `acme_psro.games.graph`; `M` observations that are met in the restricted game.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from acme_psro.games.graph import GameGraph
from acme_psro.games.sweeps import waves
from acme_psro.games.tree import NO_INFOSET
from acme_psro.restricted_games.game import ActionCounts, check_allowed


class RestrictedGraph(NamedTuple):
    """A restricted game.

    Attributes:
      graph: its states, with `M` observations, whose legal actions are the allowed ones.
      rows: `[M]`, the observations in the whole game, in its order.
    """

    graph: GameGraph
    rows: np.ndarray

    def expand(self, table: np.ndarray, outside: np.ndarray) -> np.ndarray:
        """Returns a policy of the whole game, `[O, A]`.

        Args:
          table: `[M, A]`, the policy at observations that are met.
          outside: `[O, A]`, the policy at all others.
        """
        expanded = outside.copy()
        expanded[self.rows] = table
        return expanded


def restrict(graph: GameGraph, allowed: np.ndarray) -> RestrictedGraph:
    """Returns a restricted game; nodes, edges and observations keep their order.

    Args:
      graph: the compiled game, without cycles.
      allowed: `[O, A]` bool, at least one action at each observation.

    Raises:
      ValueError: `allowed` is no restricted game of this game, or the game is cyclic.
    """
    check_allowed(graph, allowed)
    if graph.is_cyclic:
        raise ValueError(f"a state of {graph.game_string} can come back: choose a game without cycles.")
    may_take = (graph.entry < 0) | allowed.reshape(-1)[np.maximum(graph.entry, 0)]
    is_met = np.zeros(graph.num_nodes, bool)
    is_met[0] = True
    for wave in waves(graph):
        leads = is_met[wave.source] & may_take[wave.edge]
        is_met[wave.node] |= np.logical_or.reduceat(leads, wave.begin)
    edges = np.flatnonzero(may_take & is_met[graph.source])
    number = np.cumsum(is_met) - 1
    # The edges of a node are contiguous, wherever they stand among those of other nodes.
    nodes, first, counts = np.unique(number[graph.source[edges]], return_index=True, return_counts=True)
    first_edge, num_children = (np.zeros(int(is_met.sum()), np.int32) for _ in range(2))
    first_edge[nodes], num_children[nodes] = first, counts
    rows, observation = np.unique(graph.observation[is_met], return_inverse=True)
    # Nodes at which no player moves come first, if there are any.
    without = int(rows[0] == NO_INFOSET)
    rows = rows[without:]
    found = dataclasses.replace(
        graph,
        player=graph.player[is_met],
        observation=(observation - without).astype(np.int32),
        first_edge=first_edge,
        num_children=num_children,
        successor=number[graph.successor[edges]].astype(np.int32),
        probability=graph.probability[edges],
        reward=graph.reward[edges],
        legal_actions=allowed[rows],
        info_state=graph.info_state[rows],
        keys=tuple(graph.keys[row] for row in rows),
        observation_offsets=np.searchsorted(rows, graph.observation_offsets),
    )
    return RestrictedGraph(found, rows)


def count_allowed(restricted: RestrictedGraph) -> ActionCounts:
    """Counts the observations that are met, and the actions that are allowed there, by player."""
    graph = restricted.graph
    own = [graph.legal_actions[graph.rows_of(player)] for player in range(graph.num_players)]
    return ActionCounts(
        infosets=np.array([len(each) for each in own]),
        actions=np.array([int(each.sum()) for each in own]),
    )

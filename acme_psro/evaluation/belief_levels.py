"""The part of a graph that is reached against given opponents, without cycles, in order of levels.

Every edge leads to a later level, so that one sweep over the levels visits each node after all nodes before
it. In an acyclic graph the level of a node is the length of the longest path to it. A cyclic graph is
unrolled: a node stands once for every number of moves after which it can be reached, and the level is this
number. Episodes end after `max_moves` moves, so the unrolled graph is finite.

Dimensions: `M` places, of which several may be one node of a cyclic graph, and `F` edges between them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from acme_psro.games.graph import GameGraph
from acme_psro.games.layers import edges_of, find_layers


class MemoryBoundError(ValueError):
    """A search would need more memory than it may have."""


class Levels(NamedTuple):
    """Places in order of levels, with their edges.

    Attributes:
      node: `[M]`, the graph's node. Place 0 is the root.
      level: `[M]`, in ascending order.
      first: `[M + 1]`, the edges of place i are `first[i]:first[i + 1]`, in the order of slots.
      edge: `[F]`, the graph's edge.
      successor: `[F]`, the place behind the edge.
    """

    node: np.ndarray
    level: np.ndarray
    first: np.ndarray
    edge: np.ndarray
    successor: np.ndarray


class _Edges(NamedTuple):
    """Edges of some nodes: the position of each edge's node among them, and the graph's edge."""

    owner: np.ndarray
    edge: np.ndarray


def make_levels(graph: GameGraph, live: np.ndarray, max_edges: int) -> Levels:
    """Finds what is reached from the root, and puts it in order.

    Args:
      graph: the game.
      live: `[E]` bool, the edges that are followed.
      max_edges: the largest `F`.

    Raises:
      MemoryBoundError: more edges are reached.
      ValueError: there is a cycle in a graph that is not marked as cyclic.
    """
    return (_unroll if graph.is_cyclic else _order)(graph, live, max_edges)


def _unroll(graph: GameGraph, live: np.ndarray, max_edges: int) -> Levels:
    """Orders places by the number of moves that lead there."""
    waves, owners, edges, successors = [np.zeros(1, np.int64)], [], [], []
    begin = count = 0
    # A node that is reached after the last move has no edges: the episode ends there.
    for _ in range(graph.max_moves):
        owner, edge = _edges_of(graph, waves[-1], live)
        count += len(edge)
        _check_size(count, max_edges)
        wave, behind = np.unique(graph.successor[edge], return_inverse=True)
        owners.append(owner + begin)
        edges.append(edge)
        begin += len(waves[-1])
        successors.append(behind.reshape(-1) + begin)
        waves.append(wave)
        if not len(wave):
            break
    level = np.repeat(np.arange(len(waves)), [len(wave) for wave in waves])
    first = np.searchsorted(np.concatenate(owners), np.arange(len(level) + 1))
    return Levels(np.concatenate(waves), level, first, np.concatenate(edges), np.concatenate(successors))


def _order(graph: GameGraph, live: np.ndarray, max_edges: int) -> Levels:
    """Orders the nodes of an acyclic graph by the longest path from the root."""
    nodes = _reached(graph, live)
    owner, edge = _edges_of(graph, nodes, live)
    _check_size(len(edge), max_edges)
    place = np.full(graph.num_nodes, -1, np.int64)
    place[nodes] = np.arange(len(nodes))
    successor = place[graph.successor[edge]]
    begin = np.searchsorted(owner, np.arange(len(nodes) + 1))
    level = find_layers(begin[:-1], np.diff(begin), successor)
    if level is None:
        raise ValueError("the graph has a cycle although its is_cyclic is False: compile the game again.")
    order = np.argsort(level, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    by_owner = np.argsort(place[owner], kind="stable")
    first = np.searchsorted(place[owner][by_owner], np.arange(len(order) + 1))
    return Levels(nodes[order], level[order], first, edge[by_owner], place[successor][by_owner])


def _check_size(edges: int, max_edges: int) -> None:
    if edges > max_edges:
        raise MemoryBoundError(
            f"more than {max_edges:,} moves are reached, which do not fit the memory bound: raise "
            "max_gigabytes, or evaluate mixtures of fewer members."
        )


def _edges_of(graph: GameGraph, nodes: np.ndarray, live: np.ndarray) -> _Edges:
    """Returns the live edges of nodes, in the order of the nodes and their slots."""
    owner = np.repeat(np.arange(len(nodes)), graph.num_children[nodes])
    edge = edges_of(graph.first_edge, graph.num_children, nodes)
    kept = live[edge]
    return _Edges(owner[kept], edge[kept])


def _reached(graph: GameGraph, live: np.ndarray) -> np.ndarray:
    """Returns the nodes that live edges lead to from the root, the root first."""
    seen = np.zeros(graph.num_nodes, bool)
    waves = [np.zeros(1, np.int64)]
    while len(waves[-1]):
        seen[waves[-1]] = True
        behind = graph.successor[_edges_of(graph, waves[-1], live).edge]
        waves.append(np.unique(behind[~seen[behind]]).astype(np.int64))
    return np.concatenate(waves)

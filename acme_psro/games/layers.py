"""Layers of an acyclic graph: nodes by the length of the longest path, so that edges lead to later layers.

Dimensions: `N` nodes, `E` edges.
"""

from __future__ import annotations

import numpy as np


def find_layers(first_edge: np.ndarray, num_children: np.ndarray, successor: np.ndarray) -> np.ndarray | None:
    """Returns the layer of each node, `[N]` int32, or None if there is a cycle.

    Args:
      first_edge: `[N]`, the first edge of each node. All nodes are behind edges, but for the root.
      num_children: `[N]`, the number of its edges, which are contiguous.
      successor: `[E]`, the node behind each edge.
    """
    waiting = np.bincount(successor, minlength=len(first_edge))
    layer = np.full(len(first_edge), -1, np.int32)
    wave, depth = np.flatnonzero(waiting == 0), 0
    # A node is in a wave when all edges that lead to it have been counted (Kahn 1962, "Topological sorting of
    # large networks").
    while len(wave):
        layer[wave] = depth
        behind = successor[edges_of(first_edge, num_children, wave)]
        nodes, counts = np.unique(behind, return_counts=True)
        waiting[nodes] -= counts
        wave, depth = nodes[waiting[nodes] == 0], depth + 1
    return layer if (layer >= 0).all() else None


def edges_of(first_edge: np.ndarray, num_children: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Returns the edges of some nodes, in the order of the nodes and their slots."""
    counts = num_children[nodes].astype(np.int64)
    begin = first_edge[nodes] - (np.cumsum(counts) - counts)
    return np.arange(counts.sum()) + np.repeat(begin, counts)

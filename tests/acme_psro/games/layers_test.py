"""Tests of layers: the longest paths to the nodes of an acyclic graph."""

from __future__ import annotations

import numpy as np
import pytest

from acme_psro.games.layers import edges_of, find_layers
from tests.acme_psro.games.graphs import ACYCLIC, CYCLIC, graph_of


def test_by_hand() -> None:
    """Node 3 is behind node 0 at once, and by way of nodes 2 and 1."""
    first_edge, num_children = np.array([0, 3, 2, 0]), np.array([2, 1, 1, 0])
    successor = np.array([2, 3, 1, 3])
    layers = find_layers(first_edge, num_children, successor)
    assert layers is not None
    assert layers.tolist() == [0, 2, 1, 3]


def test_a_loop_has_no_layers() -> None:
    assert find_layers(np.array([0, 0]), np.array([2, 0]), np.array([0, 1])) is None


def test_edges_are_in_the_order_of_nodes() -> None:
    first_edge, num_children = np.array([4, 0, 0, 2]), np.array([1, 2, 0, 2])
    assert edges_of(first_edge, num_children, np.array([3, 2, 0, 1])).tolist() == [2, 3, 4, 0, 1]
    assert edges_of(first_edge, num_children, np.array([], int)).tolist() == []


@pytest.mark.parametrize("game", ACYCLIC)
def test_every_edge_leads_to_a_later_layer(game: str) -> None:
    graph = graph_of(game)
    layers = find_layers(graph.first_edge, graph.num_children, graph.successor)
    assert layers is not None
    assert (layers[graph.successor] > layers[graph.source]).all()
    # The longest path to a node ends with an edge from the layer before.
    before = np.full(graph.num_nodes, -1)
    np.maximum.at(before, graph.successor, layers[graph.source])
    np.testing.assert_array_equal(before + 1, layers)
    assert layers.max() == graph.max_moves


@pytest.mark.parametrize("game", CYCLIC)
def test_cyclic_games_have_no_layers(game: str) -> None:
    graph = graph_of(game)
    assert find_layers(graph.first_edge, graph.num_children, graph.successor) is None

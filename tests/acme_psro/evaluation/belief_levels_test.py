"""Places in order of levels: every edge leads to a later one, and cycles are unrolled."""

import dataclasses

import numpy as np
import pytest

from acme_psro.evaluation.belief_levels import Levels, make_levels
from acme_psro.games.graph import GameGraph
from tests.acme_psro.evaluation.made_up_graphs import guess_the_coin, random_graph, wait_or_take


def all_levels(graph: GameGraph) -> Levels:
    return make_levels(graph, np.ones(graph.num_edges, bool), 10**6)


def check_edges(graph: GameGraph, levels: Levels) -> None:
    owner = np.repeat(np.arange(len(levels.node)), np.diff(levels.first))
    assert levels.node[0] == 0 and levels.level[0] == 0
    assert (np.diff(levels.level) >= 0).all()
    assert (levels.level[levels.successor] > levels.level[owner]).all()
    np.testing.assert_array_equal(graph.source[levels.edge], levels.node[owner])
    np.testing.assert_array_equal(graph.successor[levels.edge], levels.node[levels.successor])
    # Edges of a place are in the order of slots.
    assert (np.diff(levels.edge)[np.diff(owner) == 0] > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_every_edge_leads_to_a_later_level(seed: int) -> None:
    graph = random_graph(seed)
    levels = all_levels(graph)
    check_edges(graph, levels)
    # A node stands once, and has all of its edges.
    assert len(set(levels.node)) == len(levels.node)
    np.testing.assert_array_equal(np.diff(levels.first), graph.num_children[levels.node])


def test_level_is_the_length_of_the_longest_path() -> None:
    levels = all_levels(guess_the_coin())
    np.testing.assert_array_equal(levels.node, np.arange(8))
    np.testing.assert_array_equal(levels.level, [0, 1, 1, 2, 2, 2, 2, 3])


def test_cyclic_graph_is_unrolled_until_its_last_move() -> None:
    graph = wait_or_take()
    levels = all_levels(graph)
    np.testing.assert_array_equal(levels.node, [0, 0, 1, 0, 1, 2, 3, 0, 1, 2, 3])
    np.testing.assert_array_equal(levels.level, [0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3])
    check_edges(graph, levels)
    # After three moves the episode is over.
    assert levels.first[7] == levels.first[-1] == len(levels.edge)
    # Player 0 always takes, so that no episode lasts longer if player 1 lets no move pass.
    live = graph.successor != 0
    live[graph.source == 1] = graph.successor[graph.source == 1] == 3
    np.testing.assert_array_equal(make_levels(graph, live, 10**6).node, [0, 1, 3])


@pytest.mark.parametrize("cyclic", [False, True])
def test_places_that_are_not_reached_are_left_out(cyclic: bool) -> None:
    graph = random_graph(1, cyclic)
    live = np.random.default_rng(0).random(graph.num_edges) < 0.6
    levels = make_levels(graph, live, 10**6)
    check_edges(graph, levels)
    assert live[levels.edge].all()
    assert len(levels.edge) < len(all_levels(graph).edge)
    # All places but the first are behind an edge.
    np.testing.assert_array_equal(np.unique(levels.successor), np.arange(1, len(levels.node)))


@pytest.mark.parametrize("cyclic", [False, True])
def test_too_many_edges_are_refused(cyclic: bool) -> None:
    graph = random_graph(1, cyclic)
    edges = len(all_levels(graph).edge)
    live = np.ones(graph.num_edges, bool)
    assert len(make_levels(graph, live, edges).edge) == edges
    with pytest.raises(ValueError, match=f"more than {edges - 1} moves are reached"):
        make_levels(graph, live, edges - 1)


def test_graph_that_is_wrongly_marked_as_acyclic_is_refused() -> None:
    graph = dataclasses.replace(wait_or_take(), is_cyclic=False)
    with pytest.raises(ValueError, match="the graph has a cycle although its is_cyclic is False"):
        all_levels(graph)

"""Helpers for tests of graphs: a graph beside the tree of the same game, history by history."""

from __future__ import annotations

import functools

import numpy as np

from acme_psro.games.compile import compile_game
from acme_psro.games.compile_graph import compile_graph
from acme_psro.games.graph import GameGraph
from acme_psro.games.tree import GameTree

# Games that merge, small enough to be compiled in every test run. The first three are cyclic.
CYCLIC = ("markov_soccer(horizon=3)", "pathfinding(horizon=6)", "cliff_walking(horizon=5)")
ACYCLIC = (
    "kuhn_poker",
    "leduc_poker",
    "tic_tac_toe",
    "dark_hex(board_size=2)",
    "dark_hex(board_size=2,gameversion=adh)",
    "goofspiel(num_cards=4,points_order=descending)",
    "liars_dice(dice_sides=3)",
    "coop_box_pushing(horizon=1)",
    "coordinated_mp",
)


@functools.cache
def graph_of(game: str) -> GameGraph:
    """Returns a game's graph, compiled without the cache on disk, once a session."""
    return compile_graph(game, cache=False)


@functools.cache
def tree_of(game: str) -> GameTree:
    """Returns a game's tree, compiled once a session."""
    return compile_game(game)


def nodes_of_histories(tree: GameTree, graph: GameGraph) -> np.ndarray:
    """Returns the graph's node `[N]` of each history of the tree, following the same slots."""
    nodes = np.zeros(tree.num_nodes, int)
    for start, stop in zip(tree.depth_offsets[1:-1], tree.depth_offsets[2:], strict=True):
        histories = np.arange(start, stop)
        nodes[histories] = graph.successor[_edges(tree, graph, nodes, histories)]
    return nodes


def returns_of_histories(tree: GameTree, graph: GameGraph, nodes: np.ndarray) -> np.ndarray:
    """Returns `[N, P]`: the graph's rewards along each history of the tree, added up."""
    returns = np.zeros((tree.num_nodes, tree.num_players))
    for start, stop in zip(tree.depth_offsets[1:-1], tree.depth_offsets[2:], strict=True):
        histories = np.arange(start, stop)
        edges = _edges(tree, graph, nodes, histories)
        returns[histories] = returns[tree.parent[histories]] + graph.reward[edges]
    return returns


def _edges(tree: GameTree, graph: GameGraph, nodes: np.ndarray, histories: np.ndarray) -> np.ndarray:
    return graph.first_edge[nodes[tree.parent[histories]]] + tree.slot[histories]


def rows_of_infosets(tree: GameTree, graph: GameGraph, nodes: np.ndarray) -> np.ndarray:
    """Returns the graph's observation `[I]` in each information state of the tree."""
    decided = tree.infoset >= 0
    rows = np.full(tree.num_infosets, -1)
    rows[tree.infoset[decided]] = graph.observation[nodes[decided]]
    # All histories of an information state look the same now.
    np.testing.assert_array_equal(rows[tree.infoset[decided]], graph.observation[nodes[decided]])
    return rows


def random_table(graph: GameGraph, seed: int) -> np.ndarray:
    """Returns a random policy of each player, `[O, A]`."""
    table = np.random.default_rng(seed).random(graph.legal_actions.shape) * graph.legal_actions
    return table / table.sum(axis=1, keepdims=True)

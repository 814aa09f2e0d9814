"""Restricted games on graphs against walks of trees, play in the whole game, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from acme_psro.games import sweeps
from acme_psro.games.graph import ARRAYS, GameGraph, graph_of_tree
from acme_psro.games.sweeps import waves
from acme_psro.games.tree import GameTree
from acme_psro.restricted_games.game import count_allowed as count_on_tree
from acme_psro.restricted_games.on_graph import count_allowed, restrict
from tests.acme_psro.games.graphs import CYCLIC, graph_of, random_table, tree_of

_GAMES = ("leduc_poker", "dark_hex(board_size=2,gameversion=adh)", "liars_dice(dice_sides=3)")


def _count_histories(graph: GameGraph) -> float:
    """Counts the histories of a graph without cycles: the nodes of the tree that it would be.

    Above 2^53 the number is rounded.
    """
    histories = np.zeros(graph.num_nodes)
    histories[0] = 1.0
    for wave in waves(graph):
        histories[wave.node] += np.add.reduceat(histories[wave.source], wave.begin)
    return float(histories.sum())


def _allow(graph: GameGraph, seed: int, share: float = 0.4) -> np.ndarray:
    """Returns random allowed actions, at least one at each observation, `[O, A]` bool."""
    draws = np.random.default_rng(seed).random(graph.legal_actions.shape)
    draws = np.where(graph.legal_actions, draws, 2.0)
    return (draws < share) | (draws == draws.min(axis=1, keepdims=True))


def _histories(tree: GameTree, allowed: np.ndarray) -> int:
    """Counts the histories to which allowed actions `[I, A]` lead, one after the other."""
    slots = np.argsort(~tree.legal_actions, axis=1, kind="stable")
    found, waiting = 0, [0]
    while waiting:
        node = waiting.pop()
        found += 1
        infoset = tree.infoset[node]
        for slot in range(tree.num_children[node]):
            if infoset < 0 or allowed[infoset, slots[infoset, slot]]:
                waiting.append(int(tree.first_child[node]) + slot)
    return found


@pytest.mark.parametrize("game", _GAMES)
def test_a_game_in_which_everything_is_allowed_is_the_game(game: str) -> None:
    graph = graph_of(game)

    restricted, rows = restrict(graph, graph.legal_actions)

    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(restricted, name), getattr(graph, name), err_msg=name)
    np.testing.assert_array_equal(rows, np.arange(graph.num_observations))
    assert _count_histories(graph) == tree_of(game).num_nodes


@pytest.mark.parametrize("game", _GAMES)
def test_policies_earn_what_they_earn_in_the_whole_game(game: str) -> None:
    graph = graph_of(game)
    restricted = restrict(graph, _allow(graph, 0))
    table = random_table(restricted.graph, 1)

    whole = restricted.expand(table, graph.uniform_policy())

    assert restricted.graph.num_nodes < graph.num_nodes
    expected = sweeps.expected_returns(graph, whole)
    np.testing.assert_allclose(sweeps.expected_returns(restricted.graph, table), expected, atol=1e-12)
    # Nobody comes to the other observations.
    np.testing.assert_allclose(
        sweeps.observation_visits(graph, whole)[np.setdiff1d(np.arange(len(whole)), restricted.rows)], 0.0
    )


@pytest.mark.parametrize("seed", range(3))
def test_sizes_are_those_of_a_walk_of_the_tree(seed: int) -> None:
    tree = tree_of("leduc_poker")
    graph = graph_of_tree(tree)
    allowed = _allow(graph, seed)
    restricted = restrict(graph, allowed)

    histories = _histories(tree, allowed)

    # A graph of a tree merges nothing.
    assert histories == _count_histories(restricted.graph) == restricted.graph.num_nodes
    counts, most = count_allowed(restricted), count_on_tree(tree, allowed)
    # The opponents of the tree's counts may take any action.
    assert (counts.infosets <= most.infosets).all()
    assert counts.actions.sum() == allowed[restricted.rows].sum()
    assert restricted.graph.keys == tuple(graph.keys[row] for row in restricted.rows)


def test_bad_input_is_one_line() -> None:
    graph = graph_of("kuhn_poker")
    with pytest.raises(ValueError, match="no action is allowed at information state 0"):
        restrict(graph, np.zeros_like(graph.legal_actions))
    cyclic = graph_of(CYCLIC[0])
    with pytest.raises(ValueError, match="can come back"):
        restrict(cyclic, cyclic.legal_actions)

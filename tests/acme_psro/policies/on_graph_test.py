"""Policies on a graph: their rows are those of what their player observes."""

from __future__ import annotations

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.policies.on_graph import make_graph_policy, stack_tables, uniform_graph_policy


@pytest.fixture(name="graph", scope="module")
def _graph() -> GameGraph:
    return graph_of_tree(compile_game("kuhn_poker"))


def test_the_uniform_policy_plays_all_legal_actions(graph: GameGraph) -> None:
    policy = uniform_graph_policy(graph, 1)

    np.testing.assert_array_equal(policy.table, np.full((6, 2), 0.5))


def test_stacked_tables_have_the_policies_in_their_players_rows(graph: GameGraph) -> None:
    first = make_graph_policy(graph, 1, np.eye(2)[[0, 1, 0, 1, 0, 1]])
    second = uniform_graph_policy(graph, 1)

    tables = stack_tables(graph, 1, (first, second))

    assert tables.shape == (2, graph.num_observations, 2)
    np.testing.assert_array_equal(tables[0, graph.rows_of(1)], first.table)
    np.testing.assert_array_equal(tables[1, graph.rows_of(1)], second.table)
    # Whoever else plays by them plays uniformly.
    np.testing.assert_array_equal(tables[:, graph.rows_of(0)], np.full((2, 6, 2), 0.5))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (np.full((5, 2), 0.5), "shape"),
        (np.full((6, 2), 0.4), "do not sum to 1"),
        (np.tile([1.5, -0.5], (6, 1)), "negative"),
        (np.full((6, 2), np.nan), "negative or illegal"),
    ],
)
def test_rows_that_are_no_distributions_are_refused(graph: GameGraph, table: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_graph_policy(graph, 0, table)

"""Tests of sweeps: expected returns on graphs equal those on trees."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from acme_psro.games import sweeps, traverse
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.games.sweeps import check_table, expected_returns, observation_visits, payoffs
from acme_psro.games.tree import GameTree
from tests.acme_psro.games.graph_test import LOOP
from tests.acme_psro.games.graphs import graph_of, nodes_of_histories, random_table, rows_of_infosets, tree_of


def tree_returns(tree: GameTree, table: np.ndarray) -> np.ndarray:
    return traverse.expected_returns(tree, traverse.realisation_plan(tree, table))


def test_returns_are_those_of_the_tree(case: Any) -> None:
    """A policy on the graph is one on the tree, which plays the same at all that look the same now."""
    tree, graph = case.tree, graph_of(case.string)
    rows = rows_of_infosets(tree, graph, nodes_of_histories(tree, graph))
    for table in (random_table(graph, 0), graph.uniform_policy(), pure_table(graph, 1)):
        np.testing.assert_allclose(
            expected_returns(graph, table), tree_returns(tree, table[rows]), rtol=0, atol=1e-9
        )


@pytest.mark.parametrize("game", ["tic_tac_toe", "dark_hex(board_size=2)"])
def test_returns_of_board_games_are_those_of_the_tree(game: str) -> None:
    tree, graph = tree_of(game), graph_of(game)
    rows = rows_of_infosets(tree, graph, nodes_of_histories(tree, graph))
    for seed in range(2):
        table = random_table(graph, seed)
        np.testing.assert_allclose(
            expected_returns(graph, table), tree_returns(tree, table[rows]), rtol=0, atol=1e-9
        )


def test_returns_on_the_graph_of_a_tree_are_those_of_the_tree(case: Any) -> None:
    graph = graph_of_tree(case.tree)
    table = random_table(graph, 2)
    np.testing.assert_allclose(
        expected_returns(graph, table), tree_returns(case.tree, table), rtol=0, atol=1e-9
    )


def pure_table(graph: GameGraph, seed: int) -> np.ndarray:
    return np.eye(graph.num_actions)[random_table(graph, seed).argmax(axis=1)]


@pytest.mark.parametrize("game", ["kuhn_poker(players=3)", "leduc_poker", "markov_soccer(horizon=3)"])
def test_payoffs_are_the_returns_of_all_combinations(game: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(game)
    tables = [
        np.stack([random_table(graph, 10 * player + member) for member in range(2 + player)])
        for player in range(graph.num_players)
    ]
    found = payoffs(graph, tables)
    assert found.shape == (graph.num_players, *range(2, 2 + graph.num_players))
    for profile in np.ndindex(*found.shape[1:]):
        table = np.empty_like(tables[0][0])
        for player, member in enumerate(profile):
            table[graph.observations_of(player)] = tables[player][member][graph.observations_of(player)]
        np.testing.assert_allclose(found[(slice(None), *profile)], expected_returns(graph, table), atol=1e-12)
    # The same in sweeps of few profiles at a time.
    monkeypatch.setattr(sweeps, "_MOST_NUMBERS", 2 * graph.num_edges)
    np.testing.assert_allclose(payoffs(graph, tables), found, atol=1e-12)


def test_a_loop_is_swept_to_its_horizon() -> None:
    """To stay pays 1, to leave 10. There are three moves: 0.5 * 10 + 0.25 * 11 + 0.125 * (12 + 3)."""
    assert expected_returns(LOOP, np.array([[0.5, 0.5]])) == pytest.approx([9.625])
    assert expected_returns(LOOP, np.array([[1.0, 0.0]])) == pytest.approx([3.0])
    # One visit at the start, and as many as there were moves that stayed. The last one is not decided.
    assert observation_visits(LOOP, np.array([[0.5, 0.5]])) == pytest.approx([1.75])


def test_visits_of_observations() -> None:
    """In Kuhn poker each card has probability 1/3. The first player sees it before its first move."""
    graph = graph_of("kuhn_poker")
    visits = observation_visits(graph, graph.uniform_policy())
    own = visits[graph.observations_of(0)]
    assert own[own > 0.3] == pytest.approx([1 / 3] * 3)
    # It passes with probability 1/2, and the second player then bets with probability 1/2.
    assert own[own < 0.3] == pytest.approx([1 / 12] * 3)
    assert visits[graph.observations_of(1)] == pytest.approx([1 / 6] * 6)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda table: table[:-1], "has shape"),
        (lambda table: table * 0.9, "row 0 of the policy table, for the observation '0|"),
        (lambda table: np.full_like(table, np.nan), "row 0 of the policy table"),
        (lambda table: np.stack([table[:, 0] + 1, table[:, 1] - 1], axis=1), "add up to 1"),
    ],
)
def test_tables_that_are_no_policies_are_refused(spoil: Any, words: str) -> None:
    graph = graph_of("kuhn_poker")
    table = spoil(graph.uniform_policy())
    for call in (expected_returns, observation_visits, check_table):
        with pytest.raises(ValueError, match=words):
            call(graph, table)


def test_illegal_actions_are_refused() -> None:
    graph = graph_of("leduc_poker")
    row = int(np.flatnonzero(~graph.legal_actions.all(axis=1))[0])
    table = graph.uniform_policy()
    table[row] = (~graph.legal_actions[row]) / (~graph.legal_actions[row]).sum()
    with pytest.raises(ValueError, match=f"row {row} of the policy table"):
        expected_returns(graph, table)
    # Rows of the other players do not count.
    other = 1 if row < graph.observations_of(1).start else 0
    check_table(graph, table, other)


def test_a_graph_that_is_changed_is_swept_anew() -> None:
    graph = graph_of("kuhn_poker")
    table = random_table(graph, 3)
    doubled = dataclasses.replace(graph, reward=2 * graph.reward)
    np.testing.assert_allclose(expected_returns(doubled, table), 2 * expected_returns(graph, table))

"""Tests of games.action_values: values are the gradient of returns, by hand, and by OpenSpiel."""

from typing import Any

import numpy as np
import pyspiel
import pytest

from acme_psro.games import sweeps
from acme_psro.games.action_values import action_values
from acme_psro.games.compile_graph import compile_graph
from acme_psro.games.graph import GameGraph, graph_of_tree


@pytest.fixture(scope="module")
def merged() -> GameGraph:
    """A game of merged states with two players, whose observations join several nodes."""
    return compile_graph("dark_hex(board_size=2)", 100_000, cache=False)


def _random_table(graph: GameGraph, seed: int) -> np.ndarray:
    weights = np.random.default_rng(seed).exponential(size=graph.legal_actions.shape) * graph.legal_actions
    return weights / weights.sum(axis=1, keepdims=True)


def _assert_gradient(graph: GameGraph, table: np.ndarray, rows: np.ndarray) -> None:
    """Compares values with differences of exact returns, moving probability from one action to another."""
    found = action_values(graph, table)
    movers = np.concatenate([np.full(graph.rows_of(p).stop - graph.rows_of(p).start, p) for p in range(2)])
    step = 1e-3
    for row in rows:
        first, *_, last = np.flatnonzero(graph.legal_actions[row])
        other = table.copy()
        moved = step * table[row, first]
        other[row, first] -= moved
        other[row, last] += moved
        change = sweeps.expected_returns(graph, other) - sweeps.expected_returns(graph, table)
        slope = found.visits[row] * (found.values[row, last] - found.values[row, first])
        # An observation comes at most once in an episode of these games, so that returns are linear.
        assert change[movers[row]] == pytest.approx(moved * slope, abs=1e-12)


def test_values_are_the_gradient_of_returns_on_merged_states(merged: GameGraph) -> None:
    rows = np.flatnonzero(merged.legal_actions.sum(axis=1) > 1)
    _assert_gradient(merged, _random_table(merged, 0), np.random.default_rng(0).permutation(rows)[:40])


@pytest.mark.games("kuhn", "goofspiel", "auction", "repeated_dilemma")
def test_values_are_the_gradient_of_returns_on_trees(case: Any) -> None:
    graph = graph_of_tree(case.tree)
    rows = np.flatnonzero(graph.legal_actions.sum(axis=1) > 1)[:30]
    _assert_gradient(graph, _random_table(graph, 1), rows)


@pytest.mark.games("kuhn", "kuhn_3p", "hanabi", "cliff_walking")
def test_the_first_moves_value_is_openspiels(case: Any) -> None:
    graph = graph_of_tree(case.tree)
    table = graph.uniform_policy()
    found = action_values(graph, table)

    def expected(state: pyspiel.State, player: int) -> float:
        if state.is_terminal():
            return state.returns()[player]
        if state.is_chance_node():
            return sum(prob * expected(state.child(move), player) for move, prob in state.chance_outcomes())
        legal = state.legal_actions()
        return sum(expected(state.child(move), player) for move in legal) / len(legal)

    def visit(state: pyspiel.State, reach: float) -> None:
        """Adds what is expected behind each first decision, by its information state."""
        if state.is_chance_node():
            for move, prob in state.chance_outcomes():
                visit(state.child(move), reach * prob)
            return
        mover = state.current_player()
        row = graph.observation[_node_of(case, state)]
        for move in state.legal_actions():
            child = state.child(move)
            sums[row, move] += reach * (expected(child, mover) - state.returns()[mover])
        reached[row] += reach

    sums, reached = np.zeros(table.shape), np.zeros(len(table))
    visit(case.game.new_initial_state(), 1.0)
    rows = np.flatnonzero(reached)
    np.testing.assert_allclose(found.values[rows], sums[rows] / reached[rows, None], atol=1e-9)
    np.testing.assert_allclose(found.visits[rows], reached[rows], atol=1e-12)


def _node_of(case: Any, state: pyspiel.State) -> int:
    """Returns the tree's node at the end of a history."""
    node, at = 0, case.game.new_initial_state()
    for action in state.history():
        moves = [move for move, _ in at.chance_outcomes()] if at.is_chance_node() else at.legal_actions()
        node = int(case.tree.first_child[node]) + moves.index(action)
        at.apply_action(action)
    return node


def test_what_is_never_met_has_no_value() -> None:
    graph = compile_graph("tic_tac_toe", 100_000, cache=False)
    table = np.zeros(graph.legal_actions.shape)
    table[np.arange(len(table)), graph.legal_actions.argmax(axis=1)] = 1.0
    found = action_values(graph, table)
    assert (found.visits > 0).sum() == 7
    assert (found.values[found.visits == 0] == 0).all()
    assert np.isfinite(found.values).all()


def test_cyclic_games_are_refused() -> None:
    graph = compile_graph("markov_soccer(horizon=4)", 100_000, cache=False)
    with pytest.raises(ValueError, match=r"without cycles\.$"):
        action_values(graph, graph.uniform_policy())

"""Equilibria of restricted games on graphs: gaps, values of linear programs, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from acme_psro.evaluation import beliefs
from acme_psro.games import sweeps, traverse
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.games.tree import GameTree
from acme_psro.restricted_games import linear_program
from acme_psro.restricted_games.certificate import restricted_nash_conv
from acme_psro.restricted_games.on_graph import RestrictedGraph, restrict
from acme_psro.self_play.restricted import Descent, solve
from acme_psro.self_play.tabular import TabularConfig
from tests.acme_psro.games.graphs import tree_of

_TREE = tree_of("kuhn_poker")
_GRAPH = graph_of_tree(_TREE)


def _game(tree: GameTree, graph: GameGraph) -> tuple[np.ndarray, RestrictedGraph]:
    """Returns a restricted game in which the first player may not bet with its best card, `[O, A]` bool."""
    allowed = graph.legal_actions.copy()
    # The cards are dealt in order, and the first decisions come first.
    row = next(row for row, key in enumerate(tree.keys) if key == "2" and row < len(tree.keys) // 2)
    allowed[row, 1] = False
    return allowed, restrict(graph, allowed)


def test_the_value_is_that_of_the_linear_program() -> None:
    allowed, restricted = _game(_TREE, _GRAPH)

    answer = solve(restricted, _GRAPH.uniform_policy(), 1e-3, Descent(2000))

    assert answer.gap <= 1e-3
    table = restricted.expand(answer.table, allowed / allowed.sum(axis=1, keepdims=True))
    assert not table[~allowed].any()
    # The gap is NashConv among allowed actions, as the tree's certificate knows it.
    assert answer.gap == pytest.approx(restricted_nash_conv(_TREE, allowed, table), abs=1e-9)
    exact = linear_program.solve(_TREE, allowed, 1e-9, 60.0)
    value = traverse.expected_returns(_TREE, traverse.realisation_plan(_TREE, exact.table))[0]
    assert sweeps.expected_returns(_GRAPH, table)[0] == pytest.approx(value, abs=1e-3)
    whole = beliefs.nash_conv(_GRAPH, [table[None]] * 2, [np.ones(1)] * 2)
    assert whole > answer.gap


def test_a_larger_game_begins_with_the_solution_of_a_smaller_one() -> None:
    _, restricted = _game(_TREE, _GRAPH)
    whole = restrict(_GRAPH, _GRAPH.legal_actions)
    first = solve(restricted, _GRAPH.uniform_policy(), 1e-2, Descent(1000))
    table = restricted.expand(first.table, _GRAPH.uniform_policy())

    again = solve(restricted, table, 1.0)

    assert again.iterations == 0
    np.testing.assert_allclose(again.table, first.table, atol=1e-12)
    assert solve(whole, table, 1e-2, Descent(1000)).gap <= 1e-2


def test_what_has_the_smallest_gap_is_kept() -> None:
    _, restricted = _game(_TREE, _GRAPH)
    # Steps that are far too large go round in circles.
    wild = TabularConfig(learning_rate=200.0, temperature=1e-6)

    answers = [solve(restricted, _GRAPH.uniform_policy(), 1e-9, Descent(n, wild)) for n in (50, 100, 200)]

    gaps = [answer.gap for answer in answers]
    assert gaps == sorted(gaps, reverse=True)
    assert [answer.iterations for answer in answers] == [50, 100, 200]


def test_bad_input_is_one_line() -> None:
    with pytest.raises(ValueError, match="max_updates must be at least 1, not 0"):
        Descent(0)
    _, restricted = _game(_TREE, _GRAPH)
    with pytest.raises(ValueError, match="the tolerance must be a positive number, and is nan"):
        solve(restricted, _GRAPH.uniform_policy(), float("nan"))

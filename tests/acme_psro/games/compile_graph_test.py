"""Tests of graphs of merged states against trees and against OpenSpiel, cyclic games included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from acme_psro.games import compile_graph as compile_graph_module
from acme_psro.games import merged_nodes
from acme_psro.games.compile_graph import compile_graph, describe_view
from acme_psro.games.graph_plays import find_difference
from acme_psro.games.loading import GameError, load_game
from acme_psro.games.tree import TERMINAL
from tests.acme_psro.games import forgetful  # noqa: F401, registers a game
from tests.acme_psro.games.graphs import (
    ACYCLIC,
    CYCLIC,
    graph_of,
    nodes_of_histories,
    returns_of_histories,
    rows_of_infosets,
)


def test_every_history_is_at_a_node_of_its_kind(case: Any) -> None:
    """All that OpenSpiel tells at each history of the tree is the same at its node of the graph."""
    tree, graph = case.tree, graph_of(case.string)
    nodes = nodes_of_histories(tree, graph)
    depth = np.searchsorted(tree.depth_offsets, np.arange(tree.num_nodes), side="right") - 1
    assert depth.max() == graph.max_moves
    # At the horizon of a cyclic graph the game is over, at whatever node.
    inside = depth < graph.max_moves if graph.is_cyclic else np.ones(tree.num_nodes, bool)
    assert (tree.player[~inside] == TERMINAL).all()
    np.testing.assert_array_equal(graph.player[nodes][inside], tree.player[inside])
    np.testing.assert_array_equal(graph.num_children[nodes][inside], tree.num_children[inside])
    edges = graph.first_edge[nodes[tree.parent]] + tree.slot
    np.testing.assert_array_equal(graph.probability[edges][1:], tree.probability[1:])
    returns = tree.reward.copy()
    for node in range(1, tree.num_nodes):
        returns[node] += returns[tree.parent[node]]
    np.testing.assert_allclose(returns_of_histories(tree, graph, nodes), returns, atol=1e-9)
    rows = rows_of_infosets(tree, graph, nodes)
    np.testing.assert_array_equal(graph.legal_actions[rows], tree.legal_actions)
    assert graph.num_nodes < tree.num_nodes
    assert graph.num_observations <= tree.num_infosets


@pytest.mark.parametrize("game", [*ACYCLIC, *CYCLIC])
def test_random_plays_are_openspiels(game: str) -> None:
    for seed in (1, 2):
        assert find_difference(graph_of(game), load_game(game), seed) is None


@pytest.mark.parametrize(
    ("game", "nodes", "observations", "moves"),
    [
        # 4,520 positions that are not over, and the end.
        ("tic_tac_toe", 4521, 4520, 9),
        ("kuhn_poker", 29, 12, 5),
        ("dark_hex(board_size=2)", 106, 42, 7),
        ("matrix_rps", 5, 2, 2),
    ],
)
def test_known_sizes(game: str, nodes: int, observations: int, moves: int) -> None:
    graph = graph_of(game)
    assert (graph.num_nodes, graph.num_observations, graph.max_moves) == (nodes, observations, moves)
    assert not graph.is_cyclic


@pytest.mark.parametrize("game", CYCLIC)
def test_cyclic_games_end_at_openspiels_maximal_length(game: str) -> None:
    graph, longest = graph_of(game), 0
    assert graph.is_cyclic
    loaded, rng = load_game(game), np.random.default_rng(0)
    for _ in range(200):
        state = loaded.new_initial_state()
        while not state.is_terminal():
            chance = state.is_chance_node()
            state.apply_action(
                int(rng.choice([a for a, _ in state.chance_outcomes()] if chance else state.legal_actions()))
            )
        longest = max(longest, len(state.history()))
    assert longest == graph.max_moves


def test_time_in_the_description_makes_a_game_acyclic() -> None:
    graph = graph_of("coop_box_pushing(horizon=1)")
    assert not graph.is_cyclic
    assert not graph.zero_sum


def test_one_line_says_what_players_see() -> None:
    assert describe_view(graph_of("kuhn_poker")) == "players of kuhn_poker() see observation tensors."
    # Observations of Leduc poker do not tell how often was raised, and so not which actions are legal.
    assert describe_view(graph_of("leduc_poker")).endswith("see information-state tensors.")
    assert describe_view(graph_of("dark_hex(board_size=2)")).endswith(
        "see observation tensors; its information-state strings tell a player more than the other kind."
    )
    line = describe_view(graph_of("markov_soccer(horizon=3)"))
    assert "\n" not in line
    assert line.endswith("apart by the moves before them, which their descriptions forget.")


@pytest.mark.parametrize(
    ("forgets", "words"),
    [
        ("returns", "differ in what the last move pays, after the moves"),
        ("actions", "does not tell them which actions are legal"),
        ("chance", "differ in their chance outcomes, after the moves"),
    ],
)
def test_games_that_forget_what_matters_are_refused(forgets: str, words: str) -> None:
    with pytest.raises(GameError, match=words) as caught:
        compile_graph(f"forgetful(forgets={forgets})")
    assert "\n" not in str(caught.value)


def test_games_that_forget_nothing_or_for_a_moment_merge() -> None:
    assert compile_graph("forgetful(forgets=nothing)").num_nodes == 8
    momentary = compile_graph("forgetful(forgets=odds)")
    assert "chance events are told apart by the moves before them" in momentary.remark
    clock = compile_graph("forgetful(forgets=clock)")
    assert clock.is_cyclic
    assert clock.max_moves == 12


@pytest.mark.parametrize(
    ("game", "max_nodes", "words"),
    [
        ("kuhn_poker", 0, "max_nodes must be at least 1, not 0"),
        ("kuhn_poker", 28, r"more than 28 nodes \(29 counted after merging\)"),
        ("tic_tac_toe", 300, r"more than 300 nodes \(at least .* after merging, by an estimate\)"),
        ("liars_dice(numdice=5)", 100_000, "more than 100,000 nodes .* by an estimate"),
        ("markov_soccer(horizon=0)", 100, "is over before its first move"),
        ("no_such_game", 100, "unknown game"),
    ],
)
def test_bad_input_is_refused_in_one_line(game: str, max_nodes: int, words: str) -> None:
    with pytest.raises(GameError, match=words) as caught:
        compile_graph(game, max_nodes)
    assert "\n" not in str(caught.value)


def test_a_graph_is_searched_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("ACME_PSRO_CACHE", str(tmp_path))
    first = compile_graph("kuhn_poker")

    def searched(*_: object, **__: object) -> None:
        raise AssertionError("the game was searched again")

    monkeypatch.setattr(compile_graph_module, "merge_game", searched)
    assert compile_graph("kuhn_poker()").digest == first.digest
    with pytest.raises(GameError, match="more than 28 nodes"):
        compile_graph("kuhn_poker", 28)
    with pytest.raises(AssertionError, match="searched again"):
        compile_graph("kuhn_poker", cache=False)


def test_progress_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged_nodes, "_PROGRESS_EVERY", 10)
    reported: list[int] = []
    compile_graph("kuhn_poker", cache=False, on_progress=reported.append)
    assert reported == [10, 20]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("game", "nodes", "observations"),
    [
        ("phantom_ttt", 284_628, 12_389),
        ("phantom_ttt(gameversion=abrupt)", 312_782, 20_687),
        ("dark_hex(board_size=3)", 283_860, 12_556),
        ("dark_hex(board_size=3,gameversion=adh)", 333_652, 22_197),
    ],
)
def test_sizes_of_large_games(game: str, nodes: int, observations: int) -> None:
    graph = compile_graph(game)
    assert (graph.num_nodes, graph.num_observations) == (nodes, observations)

"""Tests of random plays beside a graph: differences of any kind are found and named."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from acme_psro.games.graph import GameGraph
from acme_psro.games.graph_plays import find_difference, find_horizon
from acme_psro.games.loading import load_game
from acme_psro.games.tree import CHANCE, TERMINAL
from tests.acme_psro.games.graphs import graph_of


def changed(graph: GameGraph, field: str, change: Any) -> GameGraph:
    """Returns the graph with a field that a function has changed in place."""
    array = getattr(graph, field).copy()
    change(array)
    return dataclasses.replace(graph, **{field: array})


def swap_players(player: np.ndarray) -> None:
    player[player >= 0] = 1 - player[player >= 0]


def shift_odds(probability: np.ndarray) -> None:
    probability[:3] = [0.3, 0.3, 0.4]


def forbid_passing(legal: np.ndarray) -> None:
    legal[:, 0] = False


@pytest.mark.parametrize(
    ("field", "change", "words"),
    [
        ("player", swap_players, "player 0 moves, and not on the graph"),
        ("probability", shift_odds, r"chance moves differently, after the moves \[\]"),
        ("legal_actions", forbid_passing, "other actions are legal"),
        ("reward", lambda reward: np.negative(reward, out=reward), "OpenSpiel pays .* and the graph"),
        ("observation", lambda rows: np.copyto(rows, np.roll(rows, 1)), "sees something else"),
    ],
)
def test_differences_are_named(field: str, change: Any, words: str) -> None:
    graph = graph_of("kuhn_poker")
    difference = find_difference(changed(graph, field, change), load_game("kuhn_poker"))
    assert difference is not None
    assert re.search(words, difference), difference


def test_plays_that_end_elsewhere_are_found() -> None:
    graph, game = graph_of("kuhn_poker"), load_game("kuhn_poker")
    # Two passes lead to the end.
    ends = dataclasses.replace(graph, player=np.where(graph.player == 1, TERMINAL, graph.player))
    assert "the play goes on, and not on the graph" in str(find_difference(ends, game))
    never = dataclasses.replace(graph, player=np.where(graph.player == TERMINAL, CHANCE, graph.player))
    assert "the play ends, and not on the graph" in str(find_difference(never, game))


def test_a_wrong_horizon_is_found() -> None:
    graph, game = graph_of("cliff_walking(horizon=5)"), load_game("cliff_walking(horizon=5)")
    assert find_difference(graph, game) is None
    for moves, words in ((4, "the play goes on"), (6, "the play ends")):
        assert words in str(find_difference(dataclasses.replace(graph, max_moves=moves), game))


def test_another_game_is_found() -> None:
    assert find_difference(graph_of("kuhn_poker"), load_game("kuhn_poker(players=3)")) is not None


@pytest.mark.parametrize(
    ("game", "moves"),
    [
        ("kuhn_poker", 5),
        ("tic_tac_toe", 9),
        # OpenSpiel states 15, because it leaves some chance events out.
        ("coop_box_pushing(horizon=5)", 25),
        # It states 15 here too, where chance makes fewer moves.
        ("markov_soccer(horizon=5)", 13),
        # Few random plays of this one are as long as they can be.
        ("phantom_ttt", 17),
    ],
)
def test_horizons(game: str, moves: int) -> None:
    assert find_horizon(load_game(game)) == moves

"""Random plays of an OpenSpiel game and of its graph side by side, and the number of moves of its plays.

Equal plays do not prove that a graph is the game's. They find nearly every real difference, in a second.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyspiel

from acme_psro.games.graph import GameGraph
from acme_psro.games.tree import CHANCE, TERMINAL
from acme_psro.games.views import View, label, make_view

# Enough to meet most kinds of situations. Long plays are fewer.
_PLAYS, _MOST_MOVES, _MOST_SECONDS = 400, 40_000, 2.0
# See `find_horizon`.
_PLAYS_TO_THE_END, _SHARE_AT_HORIZON = 100, 0.1
# OpenSpiel adds rewards up in its own order.
_ROUNDING = 1e-9


def find_horizon(game: pyspiel.Game, seed: int = 0) -> int:
    """Returns the number of moves after which plays end even if their descriptions do not tell it.

    OpenSpiel's own figures count some moves and leave out others. If several random plays are equally long
    and none is longer, their length is the horizon, or no play ever comes to it.

    Args:
      game: the game, in turn-based form.
      seed: the seed of the plays.
    """
    rng = np.random.default_rng(seed)
    end = time.process_time() + _MOST_SECONDS
    lengths: list[int] = []
    state = game.new_initial_state()
    while len(lengths) < _PLAYS_TO_THE_END and time.process_time() < end:
        if state.is_terminal():
            lengths.append(len(state.history()))
            state = game.new_initial_state()
        state.apply_action(_random_move(state, rng))
    stated = int(game.max_history_length())
    if not lengths:
        return stated
    longest = max(lengths)
    return longest if lengths.count(longest) >= _SHARE_AT_HORIZON * len(lengths) else max(stated, longest)


def _random_move(state: Any, rng: np.random.Generator) -> int:
    moves = [move for move, _ in state.chance_outcomes()] if state.is_chance_node() else state.legal_actions()
    return int(moves[int(rng.integers(len(moves)))])


def find_difference(graph: GameGraph, game: pyspiel.Game, seed: int = 0) -> str | None:
    """Plays at random in OpenSpiel and on a graph.

    Args:
      graph: the graph, made by `acme_psro.games.compile_graph`.
      game: the game, in turn-based form.
      seed: the seed of the moves.

    Returns:
      A line that says what differs, or None if nothing does.
    """
    view = make_view(game, graph.seen_by)
    rng = np.random.default_rng(seed)
    moves_left, end = _MOST_MOVES, time.process_time() + _MOST_SECONDS
    for _ in range(_PLAYS):
        state, node, total = game.new_initial_state(), 0, np.zeros(graph.num_players)
        while (difference := _compare(graph, view, state, node)) is None and not state.is_terminal():
            slot = int(rng.integers(graph.num_children[node]))
            edge = graph.first_edge[node] + slot
            state.apply_action(_moves_of(state)[slot])
            node, total = int(graph.successor[edge]), total + graph.reward[edge]
            moves_left -= 1
            if moves_left < 0 or time.process_time() > end:
                return None
        if difference is None and not np.allclose(state.returns(), total, rtol=_ROUNDING, atol=_ROUNDING):
            difference = f"OpenSpiel pays {state.returns()}, and the graph {total.tolist()}"
        if difference is not None:
            return f"{difference}, after the moves {state.history()}"
    return None


def _moves_of(state: Any) -> list[int]:
    return [move for move, _ in state.chance_outcomes()] if state.is_chance_node() else state.legal_actions()


def _compare(graph: GameGraph, view: View, state: Any, node: int) -> str | None:
    """Returns what differs between a state and a node of the graph, or None."""
    is_over = graph.player[node] == TERMINAL
    is_late = graph.is_cyclic and len(state.history()) >= graph.max_moves
    if state.is_terminal():
        return None if is_over or is_late else "the play ends, and not on the graph"
    if is_over or is_late:
        return "the play goes on, and not on the graph"
    player = state.current_player()
    edges = slice(graph.first_edge[node], graph.first_edge[node] + graph.num_children[node])
    if player == pyspiel.PlayerId.CHANCE:
        known = graph.player[node] == CHANCE
        probabilities = [probability for _, probability in state.chance_outcomes()]
        same = known and np.array_equal(graph.probability[edges], probabilities)
        return None if same else "chance moves differently"
    if graph.player[node] != player:
        return f"player {player} moves, and not on the graph"
    row = graph.observation[node]
    if graph.keys[row] != label(player, view.key(state, player)):
        return f"player {player} sees something else"
    same = np.flatnonzero(graph.legal_actions[row]).tolist() == state.legal_actions()
    return None if same else "other actions are legal"

"""Random plays of a game: a cheap way to tell that two games, or a game and its tree, are the same.

Equal plays do not prove that two games are equal. They find nearly every real difference, in milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyspiel

from acme_psro.games.information_states import make_play_namer
from acme_psro.games.tree import CHANCE, TERMINAL, GameTree

# Enough to meet most kinds of situations of a small game, and at most some hundredths of a second.
_PLAYS = 32
_MOST_MOVES = 1000
# In games that offer thousands of moves at a time, each move takes long.
_MOST_CHOICES = 100_000
# A single move of bridge takes a second: OpenSpiel computes there how many tricks each side will win.
_MOST_SECONDS = 0.5
# See `estimate_nodes`.
_FEWEST, _SAFETY = 6, 8
# OpenSpiel adds rewards up in its own order.
_ROUNDING = 1e-9


class Move(NamedTuple):
    """One move of a play, and the situation in which it was made.

    Attributes:
      player: the player to move, or `CHANCE`.
      name: the name of the mover's information state; empty at chance nodes.
      actions: the actions or chance outcomes that were possible.
      probabilities: the probabilities of chance outcomes; empty at decisions.
      slot: the position of the move among `actions`.
    """

    player: int
    name: str
    actions: tuple[int, ...]
    probabilities: tuple[float, ...]
    slot: int

    @property
    def action(self) -> int:
        return self.actions[self.slot]


class Play(NamedTuple):
    """A play of a game from its start.

    Attributes:
      moves: the moves.
      returns: `[P]`, the players' returns at the end, or None if the play was not finished.
    """

    moves: tuple[Move, ...]
    returns: tuple[float, ...] | None


def random_plays(game: pyspiel.Game, seed: int = 0) -> list[Play]:
    """Plays a game several times; all players and chance take any move with equal probability.

    The moves are limited, and so are the choices among them and the time, so that the last play of a large
    game is not finished.

    Args:
      game: the game, in turn-based form.
      seed: the seed of the choices.
    """
    rng = np.random.default_rng(seed)
    plays: list[Play] = []
    moves_left, choices_left = _MOST_MOVES, _MOST_CHOICES
    end = time.process_time() + _MOST_SECONDS
    while len(plays) < _PLAYS and _goes_on(moves_left, choices_left, end):
        state, moves, namer = game.new_initial_state(), [], make_play_namer(game)
        while not state.is_terminal() and _goes_on(moves_left, choices_left, end):
            move = _situation(state, namer)
            moves.append(move._replace(slot=int(rng.integers(len(move.actions)))))
            state.apply_action(moves[-1].action)
            moves_left -= 1
            choices_left -= len(move.actions)
        plays.append(Play(tuple(moves), tuple(state.returns()) if state.is_terminal() else None))
    return plays


def _goes_on(moves_left: int, choices_left: int, end: float) -> bool:
    """Returns True if more moves are allowed."""
    return moves_left > 0 and choices_left > 0 and time.process_time() < end


def _situation(state: Any, namer: Callable[[Any, int], str]) -> Move:
    """Returns what a state offers, with slot 0."""
    if state.is_chance_node():
        outcomes = state.chance_outcomes()
        return Move(CHANCE, "", tuple(a for a, _ in outcomes), tuple(p for _, p in outcomes), 0)
    player = state.current_player()
    return Move(player, namer(state, player), tuple(state.legal_actions()), (), 0)


def repeats(game: pyspiel.Game, plays: Sequence[Play]) -> bool:
    """Returns True if a game allows the same plays, in the same situations and with the same returns.

    The plays are repeated in reverse order, so that a game whose payoffs depend on the order in which its
    histories are visited does not agree with itself.

    Args:
      game: the game, in turn-based form. It must have been loaded anew, as games may remember.
      plays: plays of the other game.
    """
    for play in reversed(plays):
        state, namer = game.new_initial_state(), make_play_namer(game)
        for move in play.moves:
            if state.is_terminal() or _situation(state, namer)._replace(slot=move.slot) != move:
                return False
            state.apply_action(move.action)
        if state.is_terminal() != (play.returns is not None):
            return False
        if play.returns is not None and not _close(state.returns(), play.returns):
            return False
    return True


def fits_tree(tree: GameTree, plays: Sequence[Play]) -> bool:
    """Returns True if a tree contains the plays, in the same situations and with the same returns."""
    return all(_tree_contains(tree, play) for play in plays)


def _tree_contains(tree: GameTree, play: Play) -> bool:
    node, returns = 0, tree.reward[0].copy()
    for move in play.moves:
        if tree.player[node] != move.player or tree.num_children[node] != len(move.actions):
            return False
        children = tree.first_child[node] + np.arange(len(move.actions))
        if move.player == CHANCE:
            if not np.array_equal(tree.probability[children], move.probabilities):
                return False
        else:
            infoset = tree.infoset[node]
            legal = np.flatnonzero(tree.legal_actions[infoset])
            if tree.keys[infoset] != move.name or tuple(legal.tolist()) != move.actions:
                return False
        node = int(children[move.slot])
        returns += tree.reward[node]
    if play.returns is None:
        return True
    return bool(tree.player[node] == TERMINAL and _close(returns, play.returns))


def _close(one: Sequence[float] | np.ndarray, other: Sequence[float]) -> bool:
    return len(one) == len(other) and bool(np.allclose(one, other, rtol=_ROUNDING, atol=_ROUNDING))


def estimate_nodes(plays: Sequence[Play]) -> float:
    """Returns a number of nodes that the game very probably exceeds (after Knuth 1975).

    The product of the numbers of moves along a random play estimates without bias how many plays there are.
    By Markov's inequality, at most the share 1 / c of all products exceeds c times the true number. So if k
    of n products exceed x, the true number is about k / n times x or larger. An eighth of that is safe if k
    is not too small: with at least 6 products it is wrong for one game in thousands.
    """
    logs = np.sort([sum(np.log10(len(move.actions)) for move in play.moves) for play in plays])[::-1]
    if not len(logs):
        return 0.0
    shares = np.arange(1, len(logs) + 1) / len(logs)
    bounds = (logs + np.log10(shares / _SAFETY))[min(_FEWEST, len(logs)) - 1 :]
    # Powers beyond the range of floats only occur in games that are far too large anyway.
    return float(10 ** min(bounds.max(), 300.0))

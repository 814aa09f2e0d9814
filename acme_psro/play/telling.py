"""Sentences about a game against a run: moves, decisions of the others, values, ends and the tally."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from acme_psro.games.loading import GameError, openspiel_errors
from acme_psro.play.opponents import Values
from acme_psro.play.session import Move, Session, Setting
from acme_psro.play.view import name_action

# Actions of a decision that are shown, the most probable ones.
_MOST_SHOWN = 12


def describe_state(describe: Callable[[Any, int], str], state: Any, player: int) -> str | None:
    """Returns the text of a state for a player; None at the end of games that do not describe it."""
    if not state.is_terminal():
        return describe(state, player)
    try:
        with openspiel_errors(str(state.get_game())):
            return describe(state, player)
    except GameError:
        return None


def tell_moves(moves: Sequence[Move]) -> list[str]:
    """Returns a line for each move of chance and the others, for games in which all moves are seen."""
    return [f"{_name(move.player)}: {name_action(move.before, move.player, move.action)}" for move in moves]


def tell_last_decisions(setting: Setting, session: Session) -> list[str]:
    """Returns the last decision of each other player in the present game, with its probabilities."""
    lines = []
    for player, note in enumerate(session.lineup.notes):
        made = [move for move in session.moves if move.player == player]
        if player == setting.player or not made:
            continue
        title = f"Player {player} at its last decision{f' ({note})' if note else ''}:"
        lines += [title, *_tell_decision(made[-1])]
    return lines or ["No other player has decided anything in this game yet."]


def _tell_decision(move: Move) -> list[str]:
    """Returns a line for each action that was legal, the one that was taken marked."""
    shown = list(move.probabilities.items())
    rest = len(shown) - _MOST_SHOWN
    if rest > 0:
        kept = sorted(shown, key=lambda entry: (entry[0] != move.action, -entry[1]))[:_MOST_SHOWN]
        shown = sorted(kept, key=lambda entry: -entry[1])
    names = {action: name_action(move.before, move.player, action) for action, _ in shown}
    width = max(map(len, names.values()))
    lines = [
        f"  {names[action]:<{width}}  {probability:.3f}{'  <- its choice' if action == move.action else ''}"
        for action, probability in shown
    ]
    if rest > 0:
        others = 1.0 - sum(probability for _, probability in shown)
        lines.append(f"  and {rest} others, together {max(0.0, others):.3f}")
    return lines


def tell_values(values: Values | None, player: int) -> list[str]:
    """Returns a line with each player's expected return."""
    if values is None or math.isnan(values.returns[player]):
        return ["The run does not know the value of this game."]
    errors = values.standard_errors
    how = "exact" if errors is None else "estimated by simulation"
    lines = [f"Expected returns if all play as the run does ({how}):"]
    for each, mean in enumerate(values.returns):
        error = "" if errors is None or math.isnan(errors[each]) else f" (standard error {errors[each]:.2g})"
        lines.append(f"  {'you' if each == player else f'player {each}'}: {_signed(mean)}{error}")
    return lines


def tell_end(returns: Sequence[float], player: int) -> str:
    """Returns the line at the end of a game."""
    others = [f"player {each}: {_signed(own)}" for each, own in enumerate(returns) if each != player]
    return f"The game is over. Your return: {_signed(returns[player])}{''.join(f'; {own}' for own in others)}"


def tell_tally(results: Sequence[float]) -> str:
    """Returns the line at the end of a session."""
    if not results:
        return "No game was finished."
    total = math.fsum(results)
    each = f", {_signed(total / len(results))} a game" if len(results) > 1 else ""
    return f"{len(results)} game{'s' if len(results) > 1 else ''}: total return {_signed(total)}{each}."


def _name(player: int) -> str:
    return f"Player {player}" if player >= 0 else "Chance"


def _signed(number: float) -> str:
    """Returns a number with its sign, four digits and no trailing zeros; 0 has no sign."""
    text = f"{round(number, 10):+.4g}"
    return "0" if float(text) == 0 else text

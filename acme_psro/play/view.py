"""Text of a state, as one player may see it, and names of actions.

Games of perfect information hide nothing, so that their own text is shown, which usually is a board. In
others a player sees what the run's policies see: its information state or its observation, in OpenSpiel's
words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyspiel

from acme_psro.games.information_states import has_strings
from acme_psro.games.views import OBSERVATION_STRINGS, OBSERVATION_TENSORS

_TURN_BASED = "turn_based_simultaneous_game"


def make_view(game: pyspiel.Game, seen_by: str) -> Callable[[Any, int], str]:
    """Makes the function that describes states to a player.

    Args:
      game: the game, in turn-based form.
      seen_by: the description of states by which the run's policies decide, see `GameGraph.seen_by`.

    Returns:
      A function `(state, player) -> text`.
    """
    game_type = game.get_type()
    if game_type.information == pyspiel.GameType.Information.PERFECT_INFORMATION:
        return lambda state, player: str(state)
    observes = bool(game_type.provides_observation_string)
    by_observation = seen_by in (OBSERVATION_TENSORS, OBSERVATION_STRINGS) and observes
    without_mover = _without_mover if game_type.short_name == _TURN_BASED else str
    # `load_game` takes no game that has neither of the two.
    if by_observation or not has_strings(game):
        return lambda state, player: without_mover(state.observation_string(player))
    if not observes:
        return lambda state, player: without_mover(state.information_state_string(player))
    return lambda state, player: without_mover(
        _with_picture(state.information_state_string(player), state.observation_string(player))
    )


def _without_mover(text: str) -> str:
    """Returns a description in the turn-based form of a game, which begins with the mover, without it."""
    return re.sub(r"\ACurrent player: -?\d+\n", "", text)


def _with_picture(whole: str, now: str) -> str:
    """Returns an information state, followed by the lines that an observation of several lines adds to it.

    Information states may list moves alone, and observations draw a board.
    """
    lines = now.rstrip("\n").split("\n")
    new = [line for line in lines if line.strip() not in whole] if len(lines) > 1 else []
    return "\n".join([whole.rstrip("\n"), *new])


def is_open(game: pyspiel.Game) -> bool:
    """Returns True if players may see all moves, those of chance included."""
    return bool(game.get_type().information == pyspiel.GameType.Information.PERFECT_INFORMATION)


def name_actions(state: Any, player: int) -> dict[int, str]:
    """Returns the names of a player's legal actions, or of chance outcomes, by their numbers."""
    return {action: name_action(state, player, action) for action in state.legal_actions()}


def name_action(state: Any, player: int, action: int) -> str:
    """Returns the name of an action, in one line."""
    return " ".join(str(state.action_to_string(player, action)).split()) or f"action {action}"


def show_text(label: str, text: str) -> list[str]:
    """Returns a text behind a label, in lines of its own if it has several."""
    lines = [line.rstrip() for line in text.rstrip("\n").split("\n")]
    if len(lines) == 1:
        return [f"{label} {lines[0].strip() or '(nothing yet)'}"]
    return [label, *(f"  {line}" for line in lines)]


def show_actions(names: Mapping[int, str], width: int) -> list[str]:
    """Returns the list of actions with their numbers, in as many columns as fit.

    Args:
      names: names of the actions, by number.
      width: characters in a line.
    """
    digits = max((len(str(action)) for action in names), default=1)
    return show_columns([f"{action:>{digits}} {name}" for action, name in names.items()], width)


def show_columns(entries: Sequence[str], width: int) -> list[str]:
    """Returns entries in columns of equal width, row by row, indented by two characters."""
    column = max((len(entry) for entry in entries), default=0) + 3
    count = max(1, (width - 2) // column)
    rows = [entries[start : start + count] for start in range(0, len(entries), count)]
    return ["  " + "".join(entry.ljust(column) for entry in row).rstrip() for row in rows]

"""Names of information states: one definition for compiled games and for policies that play OpenSpiel states.

If a game has information state strings, those are the names. Otherwise a name is built from the observation
strings and actions of the player's own decisions so far, which gives perfect recall by construction. Either
way a state can give its name back, without the tree that was compiled from the game.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pyspiel


def has_strings(game: pyspiel.Game) -> bool:
    """Returns True if the game itself names its information states."""
    return bool(game.get_type().provides_information_state_string)


def extend_name(previous: str | None, action: int, observation: str) -> str:
    """Returns the name of an information state in a game without information state strings.

    Args:
      previous: the name of the player's previous information state, or None at its first decision.
      action: the action that the player took there. It is not used at the first decision.
      observation: the player's observation string.
    """
    # The whole history would grow with every decision. Its digest keeps names short, and tells apart all
    # histories that the previous name tells apart.
    before = "" if previous is None else f"{hashlib.sha256(previous.encode()).hexdigest()[:16]}/{action}"
    return f"{before}|{observation}"


def make_namer(game: pyspiel.Game) -> Callable[[Any, int], str]:
    """Makes the function that names information states.

    Args:
      game: the game, in turn-based form.

    Returns:
      A function `(state, player) -> name`. In a game without information state strings it plays the state's
      history again, so that an answer takes as long as the game so far.
    """
    if has_strings(game):
        return lambda state, player: state.information_state_string(player)

    def name(state: Any, player: int) -> str:
        previous, taken = None, 0
        at = game.new_initial_state()
        for action in state.history():
            if at.current_player() == player:
                previous = extend_name(previous, taken, at.observation_string(player))
                taken = action
            at.apply_action(action)
        return extend_name(previous, taken, state.observation_string(player))

    return name


def make_play_namer(game: pyspiel.Game) -> Callable[[Any, int], str]:
    """Makes a function that gives the names of `make_namer` along one play, in time linear in its length.

    Args:
      game: the game, in turn-based form.

    Returns:
      A function `(state, player) -> name`. It must be called once at each decision of one play, in order.
    """
    if has_strings(game):
        return make_namer(game)
    # The name of each player's last information state, and how many moves led there.
    last: dict[int, tuple[str, int]] = {}

    def name(state: Any, player: int) -> str:
        history = state.history()
        previous, moves = last.get(player, (None, 0))
        taken = 0 if previous is None else history[moves]
        found = extend_name(previous, taken, state.observation_string(player))
        last[player] = found, len(history)
        return found

    return name

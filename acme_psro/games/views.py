"""Views: the part of a state of an OpenSpiel game by which its mover decides on a graph.

OpenSpiel describes a state to a player in up to four ways, by observations and by information states, each
as a string and as a tensor. Information states contain the past, so that few states merge. Observations do
not, but a player that remembers its observations and its own actions usually knows as much. Then nothing is
lost to a player that remembers, and states merge, so observations are preferred. Whether it is so is tested
on plays. An observation must also tell its player which actions are legal, as a policy sees nothing else.

Some games are inconsistent: the information-state string of `dark_hex` tells how many moves were made, which
its tensor keeps secret. An observation is accepted if it agrees with either of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyspiel

from acme_psro.games.graph import INFORMATION_STATES
from acme_psro.games.information_states import make_namer
from acme_psro.games.loading import GameError

OBSERVATION_TENSORS, OBSERVATION_STRINGS = "observation tensors", "observation strings"
STATE_TENSORS, STATE_STRINGS = "information-state tensors", "information-state strings"
# In the order of preference.
NAMES = (OBSERVATION_TENSORS, OBSERVATION_STRINGS, STATE_TENSORS, STATE_STRINGS)
_METHODS = {
    OBSERVATION_TENSORS: "observation_tensor",
    OBSERVATION_STRINGS: "observation_string",
    STATE_TENSORS: "information_state_tensor",
    STATE_STRINGS: "information_state_string",
}
# Enough plays to meet most sequences of a small game, and the beginnings of a large one, in half a second.
_PLAYS, _MOST_DECISIONS = 1000, 15_000


class View(NamedTuple):
    """The part of a state that players see.

    Attributes:
      name: one of `NAMES`.
      key: a function `(state, player) -> key` whose values are equal if the player sees the same.
      numbers: a function `(state, player) -> [D]` list of float, by which a network sees the state, or None
        if the game offers no tensor that the view determines.
      remark: a clause on a game whose descriptions disagree, or nothing.
    """

    name: str
    key: Callable[[Any, int], bytes | str]
    numbers: Callable[[Any, int], list[float]] | None
    remark: str = ""


def make_view(game: pyspiel.Game, name: str) -> View:
    """Makes a view by its name, with the numbers that belong to it.

    Raises:
      GameError: the game does not offer it.
    """
    if name not in _offered(game):
        raise GameError(f"{game} offers no {name}: choose from {', '.join(_offered(game))}.")
    tensors = {OBSERVATION_STRINGS: OBSERVATION_TENSORS, STATE_STRINGS: STATE_TENSORS}.get(name, name)
    numbers = _caller(tensors) if tensors in _offered(game) else None
    return View(name, _key_of(name), numbers)


def make_labeller(game: pyspiel.Game, name: str) -> Callable[[Any, int], str]:
    """Makes the function that names what a player sees, as the keys of a `GameGraph` do.

    Args:
      game: the game, in turn-based form.
      name: the graph's `seen_by`: one of `NAMES`, or the information states of a tree.

    Returns:
      A function `(state, player) -> name`.

    Raises:
      GameError: the game does not offer such a view.
    """
    key = make_namer(game) if name == INFORMATION_STATES else make_view(game, name).key
    return lambda state, player: label(player, key(state, player))


def label(player: int, key: bytes | str) -> str:
    """Returns the name of an observation: the player, and the key, tensors of bits in hexadecimal digits."""
    if isinstance(key, str):
        return f"{player}|{key}"
    numbers = np.frombuffer(key, np.float32)
    if np.isin(numbers, (0.0, 1.0)).all():
        return f"{player}|{np.packbits(numbers.astype(bool)).tobytes().hex()}"
    return f"{player}|float32:{key.hex()}"


def find_views(game: pyspiel.Game, seed: int = 0) -> list[View]:
    """Finds the views by which players that remember lose nothing, those that let most states merge first.

    Args:
      game: the game, in turn-based form.
      seed: the seed of the plays on which views are compared.

    Returns:
      The views. There may be none if descriptions contradict each other.
    """
    offered = _offered(game)
    met = _sample(game, offered, seed)
    whole = [name for name in (STATE_TENSORS, STATE_STRINGS) if name in offered]
    finer = ""
    if len(whole) == 2 and not (_determines(met, *whole) and _determines(met, *whole[::-1])):
        finer = STATE_STRINGS if _determines(met, STATE_STRINGS, STATE_TENSORS) else STATE_TENSORS
    views = []
    for name in offered:
        if _suffices(met, name, offered) and _tells_actions(met, name):
            view = make_view(game, name)
            if view.numbers is not None and not _has_numbers(met, name):
                view = view._replace(numbers=None)
            views.append(
                view._replace(remark=finer and f"its {finer} tell a player more than the other kind")
            )
    return views


class _Known(NamedTuple):
    """Knowledge of a player at a decision, as numbers that are equal if the knowledge is, by description.

    Attributes:
      now: what it sees now.
      ever: what it has seen and done at all of its decisions.
      actions: the legal actions.
    """

    now: dict[str, int]
    ever: dict[str, int]
    actions: tuple[int, ...]


def _suffices(met: Sequence[_Known], name: str, offered: Sequence[str]) -> bool:
    """Returns True if a player that remembers everything it saw knows all that it should, and no more."""
    whole = [each for each in (STATE_TENSORS, STATE_STRINGS) if each in offered]
    if whole:
        return any(_determines(met, name, each) and _determines(met, each, name) for each in whole)
    # If the game tells its players no past, nothing says what they should not know.
    return all(_determines(met, name, each) for each in offered)


def _determines(met: Sequence[_Known], one: str, other: str) -> bool:
    """Returns True if no two decisions were met at which one description was the same and the other not."""
    return len({(known.ever[one], known.ever[other]) for known in met}) == len(
        {known.ever[one] for known in met}
    )


def _tells_actions(met: Sequence[_Known], name: str) -> bool:
    """Returns True if what a player sees determines its legal actions."""
    return len({(known.now[name], known.actions) for known in met}) == len({known.now[name] for known in met})


def _has_numbers(met: Sequence[_Known], name: str) -> bool:
    """Returns True if a string determines the tensor of its kind."""
    tensors = OBSERVATION_TENSORS if name in (OBSERVATION_TENSORS, OBSERVATION_STRINGS) else STATE_TENSORS
    return len({(known.now[name], known.now[tensors]) for known in met}) == len(
        {known.now[name] for known in met}
    )


def _sample(game: pyspiel.Game, names: Sequence[str], seed: int) -> list[_Known]:
    """Returns what movers know at the decisions of random plays."""
    rng = np.random.default_rng(seed)
    keys = {name: _key_of(name) for name in names}
    numbers: dict[Any, int] = {}
    met: list[_Known] = []
    for play in range(_PLAYS):
        state = game.new_initial_state()
        before: list[dict[str, Any]] = [dict.fromkeys(names) for _ in range(game.num_players())]
        # In a narrow play few moves are possible, so that different plays often look the same to a player.
        width = (2, 3, None)[play % 3]
        while not state.is_terminal() and len(met) < _MOST_DECISIONS:
            player = state.current_player()
            moves = [move for move, _ in state.chance_outcomes()] if player < 0 else state.legal_actions()
            move = moves[int(rng.integers(len(moves[:width])))]
            if player >= 0:
                now = {
                    name: numbers.setdefault((name, player, key(state, player)), len(numbers))
                    for name, key in keys.items()
                }
                ever = {
                    name: numbers.setdefault((name, before[player][name], now[name]), len(numbers))
                    for name in names
                }
                met.append(_Known(now, ever, tuple(moves)))
                before[player] = {name: (ever[name], move) for name in names}
            state.apply_action(move)
    return met


def _offered(game: pyspiel.Game) -> list[str]:
    """Returns the names of the descriptions that a game offers, in the order of preference."""
    game_type = game.get_type()
    return [name for name in NAMES if getattr(game_type, f"provides_{_METHODS[name]}")]


def _caller(name: str) -> Callable[[Any, int], Any]:
    """Returns the function that describes a state to a player."""
    method = _METHODS[name]
    return lambda state, player: getattr(state, method)(player)


def _key_of(name: str) -> Callable[[Any, int], bytes | str]:
    """Returns the function whose values are equal if a description is. Tensors become bytes of float32."""
    if name == OBSERVATION_TENSORS:
        return lambda state, player: array("f", state.observation_tensor(player)).tobytes()
    if name == STATE_TENSORS:
        return lambda state, player: array("f", state.information_state_tensor(player)).tobytes()
    return _caller(name)

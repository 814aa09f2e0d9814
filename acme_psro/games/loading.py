"""Loads an OpenSpiel game by its string, or says in one line why not."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
from collections.abc import Iterator

import pyspiel

# OpenSpiel may answer with the list of all its games.
_MOST_WORDS = 300


class GameError(ValueError):
    """A game that cannot be loaded or compiled; the message is one line for the user."""


def load_game(game_string: str) -> pyspiel.Game:
    """Loads a game, in turn-based form where moves are simultaneous.

    Raises:
      GameError: unknown name (with near matches), bad parameters, or a kind of game that has no finite
        tree with explicit chance.
    """
    name = game_string.split("(", 1)[0].strip()
    if name.startswith("python_"):
        _register_python_games()
    known = [game.short_name for game in pyspiel.registered_games()]
    if name not in known:
        # Games in Python are known once somebody has imported them; what is said does not hang on that.
        asked = [game for game in known if name.startswith("python_") or not game.startswith("python_")]
        near = difflib.get_close_matches(name, asked, n=3, cutoff=0.5)
        near += [game for game in asked if len(name) > 2 and name in game and game not in near][:3]
        hint = f"did you mean {', '.join(near)}?" if near else f"OpenSpiel has {len(asked)} games."
        raise GameError(f"unknown game {name!r}: {hint}")
    try:
        with _quiet():
            game = pyspiel.load_game(game_string)
    except (pyspiel.SpielError, RuntimeError, ValueError, IndexError) as error:
        allowed = _parameter_names(name)
        # OpenSpiel puts the place in its own sources first.
        reason = re.sub(r"^\S+\.(cc|h):\d+ ", "", " ".join(str(error).split()))[:_MOST_WORDS]
        raise GameError(f"cannot load {game_string!r}: {reason} ({name} takes {allowed})") from None
    kind = game.get_type()
    if kind.dynamics == pyspiel.GameType.Dynamics.MEAN_FIELD:
        raise GameError(f"{name} is a mean-field game; games with finitely many players are allowed.")
    if kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        raise GameError(f"{name} samples its chance events; only explicit chance can be enumerated.")
    if not (kind.provides_information_state_string or kind.provides_observation_string):
        raise GameError(f"{name} describes neither information states nor observations: choose another.")
    if kind.dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS:
        game = pyspiel.convert_to_turn_based(game)
    return game


def _register_python_games() -> None:
    """Makes OpenSpiel's games that are written in Python known; it does not do so by itself."""
    with _quiet(), contextlib.redirect_stdout(io.StringIO()):
        import open_spiel.python.games  # noqa: F401


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what OpenSpiel prints of an error, beside raising it, from standard error."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _parameter_names(name: str) -> str:
    for kind in pyspiel.registered_games():
        if kind.short_name == name:
            return ", ".join(sorted(kind.parameter_specification)) or "no parameters"
    return "no parameters"

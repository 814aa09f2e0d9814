"""Loading of OpenSpiel games by their strings, with one-line errors for the user."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
from collections.abc import Iterator

import pyspiel

# Longest part of an error of OpenSpiel that is shown. Some of its errors list all games.
_MAX_REASON_CHARACTERS = 300


class GameError(ValueError):
    """A game cannot be loaded or compiled. The message is one line for the user."""


def load_game(game_string: str) -> pyspiel.Game:
    """Loads a game. If moves are simultaneous, the game is converted to its turn-based form.

    Args:
      game_string: the game as `pyspiel.load_game` takes it, e.g. `kuhn_poker(players=3)`.

    Raises:
      GameError: the name is unknown (the message proposes similar names), the parameters are bad, or the type
        of the game is not supported. Games need finitely many players, explicit chance events and strings for
        information states or observations.
    """
    name = game_string.split("(", 1)[0].strip()
    if name.startswith("python_"):
        _register_python_games()
    known = [game.short_name for game in pyspiel.registered_games()]
    if name not in known:
        # Python games are registered when their module is first imported by any code. They are proposed only
        # if the name asks for one, so that the message does not depend on earlier imports.
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
        # The error of OpenSpiel begins with a position in its own source code, which does not help the user.
        reason = re.sub(r"^\S+\.(cc|h):\d+ ", "", " ".join(str(error).split()))[:_MAX_REASON_CHARACTERS]
        raise GameError(f"cannot load {game_string!r}: {reason} ({name} takes {allowed})") from None
    game_type = game.get_type()
    if game_type.dynamics == pyspiel.GameType.Dynamics.MEAN_FIELD:
        raise GameError(f"{name} is a mean-field game; games with finitely many players are allowed.")
    if game_type.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        raise GameError(f"{name} samples its chance events; only explicit chance can be enumerated.")
    if not (game_type.provides_information_state_string or game_type.provides_observation_string):
        raise GameError(f"{name} describes neither information states nor observations: choose another.")
    if game_type.dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS:
        game = pyspiel.convert_to_turn_based(game)
    return game


def _register_python_games() -> None:
    """Registers the games that OpenSpiel implements in Python, which it does not do by itself."""
    with _quiet(), contextlib.redirect_stdout(io.StringIO()):
        import open_spiel.python.games  # noqa: F401


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses standard error. OpenSpiel prints its errors there, in addition to raising them."""
    # OpenSpiel prints from C++, so the file descriptor itself must be redirected, not only `sys.stderr`.
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _parameter_names(name: str) -> str:
    """Returns the names of the parameters that a game takes, for a message."""
    for game_type in pyspiel.registered_games():
        if game_type.short_name == name:
            return ", ".join(sorted(game_type.parameter_specification)) or "no parameters"
    return "no parameters"

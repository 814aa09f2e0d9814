"""Loading of OpenSpiel games by their strings, with one-line errors for the user."""

from __future__ import annotations

import contextlib
import difflib
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pyspiel

from acme_psro.games import trial
from acme_psro.games.trial import GameError as GameError
from acme_psro.games.trial import plain_reason
from acme_psro.system.streams import quiet_stderr

# What OpenSpiel raises, through pybind11, for parameters and states that it cannot handle.
_OPENSPIEL_ERRORS = (pyspiel.SpielError, RuntimeError, ValueError, IndexError, TypeError, MemoryError)


@contextlib.contextmanager
def openspiel_errors(game_string: str) -> Iterator[None]:
    """Turns errors of OpenSpiel into errors of one line, and keeps what it prints off the screen.

    Args:
      game_string: the game, for the message.

    Raises:
      GameError: OpenSpiel raised an error in the body of the context.
    """
    try:
        with quiet_stderr():
            yield
    except GameError:
        raise
    except _OPENSPIEL_ERRORS as error:
        raise GameError(f"OpenSpiel cannot play {game_string}: {plain_reason(error)}.") from error


def load_game(game_string: str) -> pyspiel.Game:
    """Loads a game. If moves are simultaneous, the game is converted to its turn-based form.

    Before a game is loaded for the first time, another process plays it for a moment, because OpenSpiel ends
    the process at some parameters; see `acme_psro.games.trial`.

    Args:
      game_string: the game as `pyspiel.load_game` takes it, e.g. `kuhn_poker(players=3)`.

    Raises:
      GameError: the name is unknown (the message proposes similar names), the parameters are bad, OpenSpiel
        cannot play the game, or its type is not supported. Games need finitely many players, explicit chance
        events and strings for information states or observations.
    """
    game_string = game_string.strip()
    name = game_string.split("(", 1)[0].strip()
    if "python_" in game_string:
        trial.register_python_games()
    known = {game.short_name: game for game in pyspiel.registered_games()}
    if name not in known:
        raise GameError(f"unknown game {name!r}: {_hint(name, list(known))}")
    # The registered type of a game that contains another one says nothing about the inner game.
    if known[name].is_concrete:
        _check_type(name, known[name])
    _check_files(game_string)
    _check_players(game_string, known[name])
    reason = trial.find_fault(game_string)
    if reason is not None:
        raise GameError(f"{reason}: choose other parameters ({name} takes {_parameters(known[name])}).")
    with openspiel_errors(game_string):
        game = pyspiel.load_game(game_string)
        game_type = game.get_type()
        _check_type(name, game_type)
        if not (game_type.provides_information_state_string or game_type.provides_observation_string):
            raise GameError(f"{name} describes neither information states nor observations: choose another.")
        if game_type.dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS:
            game = pyspiel.convert_to_turn_based(game)
    return game


def largest_return(game: str) -> float:
    """Returns the largest absolute return of a game; 1 if it is 0 or infinite.

    Raises:
      GameError: the game is unknown.
    """
    loaded = load_game(game)
    largest = max(abs(loaded.min_utility()), abs(loaded.max_utility()))
    return float(largest) if 0 < largest < math.inf else 1.0


def _hint(name: str, known: list[str]) -> str:
    """Returns names that are similar to an unknown one, for a message."""
    # Python games are registered when their module is first imported by any code. They are proposed only if
    # the name asks for one, so that the message does not depend on earlier imports.
    asked = [game for game in known if name.startswith("python_") or not game.startswith("python_")]
    near = difflib.get_close_matches(name.lower(), asked, n=3, cutoff=0.5)
    near += [game for game in asked if len(name) > 2 and name in game and game not in near][:3]
    return (
        f"did you mean {', '.join(near)}?"
        if near
        else f"OpenSpiel has {len(asked)} games, and one of your own needs --import_module."
    )


def _check_type(name: str, game_type: pyspiel.GameType) -> None:
    """Raises a GameError if a kind of game is not supported."""
    if game_type.dynamics == pyspiel.GameType.Dynamics.MEAN_FIELD:
        raise GameError(f"{name} is a mean-field game; games with finitely many players are allowed.")
    if game_type.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        raise GameError(f"{name} samples its chance events; only games with explicit chance are supported.")


def _check_files(game_string: str) -> None:
    """Raises a GameError if a file that the string names cannot be read."""
    for name in re.findall(r"filename=([^(),=]*)", game_string):
        path = Path(name.strip())
        if not path.is_file():
            problem = (
                "is a directory" if path.is_dir() else "is no file" if path.exists() else "does not exist"
            )
            raise GameError(
                f"{game_string} names the file {str(path)!r}, which {problem}: name an existing file."
            )
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise GameError(f"{path} cannot be read: {error.strerror}.") from None


def _check_players(game_string: str, game_type: pyspiel.GameType) -> None:
    """Raises a GameError if the string asks for a number of players that the game does not allow."""
    # Only the parameters of the game itself, not those of a game inside it.
    given = re.fullmatch(r"\w+\s*\(([^()]*)\)", game_string)
    count = re.search(r"(?:^|,)\s*players\s*=\s*(-?\d+)\s*(?:,|$)", given[1]) if given else None
    least, most = game_type.min_num_players, game_type.max_num_players
    if count and not least <= int(count[1]) <= most:
        allowed = f"{least} to {most}" if least < most else str(least)
        raise GameError(f"{game_string} asks for {count[1]} players: {allowed} are allowed.")


def _parameters(game_type: pyspiel.GameType) -> str:
    """Returns the names of the parameters that a game takes, for a message."""
    return ", ".join(sorted(game_type.parameter_specification)) or "no parameters"

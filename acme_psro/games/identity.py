"""Identity of games: a name that loads the game again, and digests of the content that a name does not hold.

`str(game)` of OpenSpiel is not the identity of a game. It drops the parameters of some games, among them the
file of a normal-form game, and it cannot tell a file or a Python game from the same one after an edit.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from pathlib import Path

import pyspiel

from acme_psro.games.loading import GameError, load_game, openspiel_errors
from acme_psro.games.plays import random_plays, repeats


def name_game(game_string: str) -> str:
    """Returns the name by which a game is stored and compared; `load_game` loads the same game from it.

    Usually it is OpenSpiel's own spelling, so that different spellings of equal parameters get one name. If
    OpenSpiel's spelling does not load, or loads a game that plays differently, it is the given string. Files
    are named by their absolute paths.

    Args:
      game_string: the game as `load_game` takes it.

    Raises:
      GameError: see `load_game`.
    """
    return _name(_with_absolute_files(game_string.strip()))


# The argument names files by absolute paths, so that a change of directory does not make an answer wrong.
@functools.lru_cache(maxsize=256)
def _name(text: str) -> str:
    game = load_game(text)
    # Games of a user's own may inherit the spelling of another game, and files are not in every spelling.
    if not is_fixed(text):
        return text if "(" in text else f"{text}()"
    spelled = str(game)
    with openspiel_errors(text):
        plays = random_plays(game)
    try:
        again = load_game(spelled)
        with openspiel_errors(spelled):
            same = str(again) == spelled and repeats(again, plays)
    except GameError:
        same = False
    return spelled if same else text


def content_digest(game_string: str) -> str | None:
    """Returns a digest of the files that a game string names and of the source of its Python games.

    Returns:
      None if the string alone determines the game, together with the version of OpenSpiel.
    """
    parts = [Path(name).read_bytes() for name in _files_in(game_string)]
    for source in _python_sources(game_string):
        parts.append(source.encode())
    if not parts:
        return None
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def is_fixed(game_string: str) -> bool:
    """Returns True if nothing but the string and the version of OpenSpiel determines the game.

    Only such games can be kept under their name, as files and games of a user's own may be edited.
    """
    return not _files_in(game_string) and not any(_python_sources(game_string))


def _words(game_string: str) -> list[str]:
    return [word.strip() for word in re.split(r"[(),=]", game_string) if word.strip()]


def _files_in(game_string: str) -> list[str]:
    return [word for word in _words(game_string) if Path(word).is_file()]


def _with_absolute_files(game_string: str) -> str:
    """Returns the string with absolute paths of the files that it names."""
    for name in _files_in(game_string):
        path = str(Path(name).absolute())
        # Characters that separate parameters cannot be part of a value, so such a path stays relative.
        if not re.search(r"[(),=]", path):
            escaped = path.replace("\\", r"\\")
            game_string = re.sub(rf"(?<==){re.escape(name)}(?=[,)])", escaped, game_string)
    return game_string


def _python_sources(game_string: str) -> list[str]:
    """Returns the source code of Python games of a user's own in a game string, inner games included."""
    known = set(pyspiel.registered_names())
    sources = []
    for match in re.finditer(r"\w+", game_string):
        if match[0] not in known:
            continue
        inner = match[0] + _arguments(game_string[match.end() :])
        try:
            with openspiel_errors(inner):
                kind = type(pyspiel.load_game(inner))
        # A word that is the value of a parameter and happens to be the name of a game.
        except GameError:
            continue
        if kind.__module__.split(".")[0] not in ("pyspiel", "open_spiel"):
            sources.append(_source_of(kind))
    return sources


def _arguments(text: str) -> str:
    """Returns the parentheses that a text begins with, with their content, or an empty string."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return text[: position + 1] if character == ")" else ""
    return ""


def _source_of(kind: type) -> str:
    """Returns the source of the module of a class, or a text that names the class if there is none."""
    module = inspect.getmodule(kind)
    try:
        return inspect.getsource(module) if module is not None else repr(kind.__qualname__)
    # Classes that were typed into an interpreter have no file.
    except (OSError, TypeError):
        return repr(kind.__qualname__)

"""A cache of compiled games on disk, so that a large game is enumerated only once.

There is one file for each combination of game, OpenSpiel version and layout version, and for its tree and its
graph. The directory is
`$ACME_PSRO_CACHE`, or else `$XDG_CACHE_HOME/acme_psro`, or else `~/.cache/acme_psro`. The files contain only
arrays and a digest of them, so reading one cannot run code. A file that is damaged is treated as if it did
not exist. Only games that their name determines are kept, see `acme_psro.games.identity.is_fixed`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from acme_psro.games import graph as graph_arrays
from acme_psro.games import tree as tree_arrays
from acme_psro.games.graph import GameGraph
from acme_psro.games.tree import GameTree
from acme_psro.system import archives
from acme_psro.system.files import write_atomically

# To be raised if the arrays change their meaning, so that files of older versions are no longer found.
_LAYOUT, _GRAPH_LAYOUT = 2, 1


def directory() -> Path:
    """Returns the directory of the cache. It need not exist."""
    if root := os.environ.get("ACME_PSRO_CACHE"):
        return Path(root)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "acme_psro"


def path_of(game_string: str) -> Path:
    """Returns the file of a game, given by its name. It need not exist."""
    return directory() / f"{_digest(str(_LAYOUT), game_string)}.npz"


def path_of_graph(game_string: str) -> Path:
    """Returns the file of a game's graph, given by the game's name. It need not exist."""
    return directory() / f"{_digest(f'graph {_GRAPH_LAYOUT}', game_string)}.npz"


def mark_of(game_string: str) -> Path:
    """Returns the file whose existence says that OpenSpiel can play a game, see `acme_psro.games.trial`."""
    return directory() / "played" / _digest("played", game_string)


def _digest(use: str, game_string: str) -> str:
    """Returns a name for a file about a game, which depends on the version of OpenSpiel."""
    version = importlib.metadata.version("open_spiel")
    return hashlib.sha256(f"{use}\n{version}\n{game_string}".encode()).hexdigest()[:32]


def write(tree: GameTree) -> None:
    """Stores a compiled game. If the cache cannot be written, nothing is stored and no error is raised."""
    arrays = {name: getattr(tree, name) for name in tree_arrays.ARRAYS}
    for player, offsets in enumerate(tree.level_offsets):
        arrays[f"level_offsets_{player}"] = offsets
    _write(path_of(tree.game_string), arrays, _texts_of(tree))


def read(game_string: str) -> GameTree | None:
    """Returns the compiled game, or None if it is not in the cache or cannot be read.

    Args:
      game_string: the game's name.
    """

    def make(stored: Mapping[str, np.ndarray]) -> GameTree:
        players = stored["reward"].shape[1]
        return GameTree(
            game_string=_text(stored["game_string"]),
            num_players=players,
            level_offsets=tuple(stored[f"level_offsets_{p}"] for p in range(players)),
            keys=_keys(stored),
            **{name: stored[name] for name in tree_arrays.ARRAYS},
        )

    return _read(path_of(game_string), game_string, make)


def write_graph(graph: GameGraph) -> None:
    """Stores a compiled graph. If the cache cannot be written, nothing is stored and no error is raised."""
    arrays = {name: getattr(graph, name) for name in graph_arrays.ARRAYS}
    arrays["limits"] = np.array([graph.max_moves, graph.is_cyclic], np.int64)
    texts = {**_texts_of(graph), "seen_by": graph.seen_by, "remark": graph.remark}
    _write(path_of_graph(graph.game_string), arrays, texts)


def read_graph(game_string: str) -> GameGraph | None:
    """Returns the compiled graph, or None if it is not in the cache or cannot be read.

    Args:
      game_string: the game's name.
    """

    def make(stored: Mapping[str, np.ndarray]) -> GameGraph:
        max_moves, is_cyclic = stored["limits"].tolist()
        return GameGraph(
            game_string=_text(stored["game_string"]),
            num_players=stored["reward"].shape[1],
            keys=_keys(stored),
            max_moves=max_moves,
            is_cyclic=bool(is_cyclic),
            seen_by=_text(stored["seen_by"]),
            remark=_text(stored["remark"]),
            **{name: stored[name] for name in graph_arrays.ARRAYS},
        )

    return _read(path_of_graph(game_string), game_string, make)


GameT = TypeVar("GameT", GameTree, GameGraph)


def _texts_of(game: GameTree | GameGraph) -> dict[str, str]:
    return {"keys": "\0".join(game.keys), "game_string": game.game_string, "digest": game.digest}


def _write(path: Path, arrays: dict[str, np.ndarray], texts: dict[str, str]) -> None:
    """Writes a file, unless the directory cannot be written."""
    # Strings are stored as bytes. Arrays of Python objects would need pickle, which can run code.
    packed = {name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()}
    content = archives.pack({**arrays, **packed}, compressed=False)
    try:
        directory().mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError:
        pass


def _read(path: Path, game_string: str, make: Callable[[Mapping[str, np.ndarray]], GameT]) -> GameT | None:
    """Returns what a file holds, or None if it does not hold the game that was asked for, unaltered."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            game = make(stored)
            unaltered = game.digest == _text(stored["digest"])
    # A damaged file can raise any of these, depending on which bytes are damaged.
    except (OSError, KeyError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None
    return game if unaltered and game.game_string == game_string else None


def _text(stored: np.ndarray) -> str:
    return stored.tobytes().decode()


def _keys(stored: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    keys = _text(stored["keys"])
    return tuple(keys.split("\0")) if keys else ()

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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from acme_psro.games import packing
from acme_psro.games.graph import GameGraph
from acme_psro.games.tree import GameTree
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


def write(game: GameTree | GameGraph) -> None:
    """Stores a compiled game. If the cache cannot be written, nothing is stored and no error is raised."""
    path_of_it = path_of if isinstance(game, GameTree) else path_of_graph
    try:
        directory().mkdir(parents=True, exist_ok=True)
        write_atomically(path_of_it(game.game_string), packing.pack(game))
    except OSError:
        pass


def read(game_string: str) -> GameTree | None:
    """Returns the compiled game, or None if it is not in the cache or cannot be read.

    Args:
      game_string: the game's name.
    """
    return _read(path_of(game_string), game_string, packing.tree_of)


def read_graph(game_string: str) -> GameGraph | None:
    """Returns the compiled graph, or None if it is not in the cache or cannot be read.

    Args:
      game_string: the game's name.
    """
    return _read(path_of_graph(game_string), game_string, packing.graph_of)


GameT = TypeVar("GameT", GameTree, GameGraph)


def _read(path: Path, game_string: str, make: Callable[[Mapping[str, np.ndarray]], GameT]) -> GameT | None:
    """Returns what a file holds, or None if it does not hold the game that was asked for, unaltered."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            game = make(stored)
            unaltered = packing.is_unaltered(game, stored)
    except packing.DAMAGES:
        return None
    return game if unaltered and game.game_string == game_string else None

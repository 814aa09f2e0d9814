"""A cache of compiled games on disk, so that a large game is enumerated only once.

There is one file for each combination of game, OpenSpiel version and layout version. The directory is
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
from pathlib import Path

import numpy as np

from acme_psro.games.tree import ARRAYS, GameTree
from acme_psro.system import archives
from acme_psro.system.files import write_atomically

# To be raised if the arrays change their meaning, so that files of older versions are no longer found.
_LAYOUT = 2


def directory() -> Path:
    """Returns the directory of the cache. It need not exist."""
    if root := os.environ.get("ACME_PSRO_CACHE"):
        return Path(root)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "acme_psro"


def path_of(game_string: str) -> Path:
    """Returns the file of a game, given by its name. It need not exist."""
    return directory() / f"{_digest(str(_LAYOUT), game_string)}.npz"


def mark_of(game_string: str) -> Path:
    """Returns the file whose existence says that OpenSpiel can play a game, see `acme_psro.games.trial`."""
    return directory() / "played" / _digest("played", game_string)


def _digest(use: str, game_string: str) -> str:
    """Returns a name for a file about a game, which depends on the version of OpenSpiel."""
    version = importlib.metadata.version("open_spiel")
    return hashlib.sha256(f"{use}\n{version}\n{game_string}".encode()).hexdigest()[:32]


def write(tree: GameTree) -> None:
    """Stores a compiled game. If the cache cannot be written, nothing is stored and no error is raised."""
    arrays = {name: getattr(tree, name) for name in ARRAYS}
    for player, offsets in enumerate(tree.level_offsets):
        arrays[f"level_offsets_{player}"] = offsets
    # Strings are stored as bytes. Arrays of Python objects would need pickle, which can run code.
    arrays["keys"] = np.frombuffer("\0".join(tree.keys).encode(), np.uint8)
    arrays["game_string"] = np.frombuffer(tree.game_string.encode(), np.uint8)
    arrays["digest"] = np.frombuffer(tree.digest.encode(), np.uint8)
    content = archives.pack(arrays, compressed=False)
    try:
        directory().mkdir(parents=True, exist_ok=True)
        write_atomically(path_of(tree.game_string), content)
    except OSError:
        pass


def read(game_string: str) -> GameTree | None:
    """Returns the compiled game, or None if it is not in the cache or cannot be read.

    Args:
      game_string: the game's name.
    """
    try:
        with np.load(path_of(game_string), allow_pickle=False) as stored:
            players = stored["reward"].shape[1]
            keys = stored["keys"].tobytes().decode()
            digest = stored["digest"].tobytes().decode()
            tree = GameTree(
                game_string=stored["game_string"].tobytes().decode(),
                num_players=players,
                level_offsets=tuple(stored[f"level_offsets_{p}"] for p in range(players)),
                keys=tuple(keys.split("\0")) if keys else (),
                **{name: stored[name] for name in ARRAYS},
            )
    # A damaged file can raise any of these, depending on which bytes are damaged.
    except (OSError, KeyError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None
    # Even a file that can be read is used only if it holds the game that was asked for, unaltered.
    return tree if tree.game_string == game_string and tree.digest == digest else None

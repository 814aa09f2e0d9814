"""Compiled games kept on disk, so that a large game is walked once.

One file a game, OpenSpiel version and layout version, in `$ACME_PSRO_CACHE`, else
`$XDG_CACHE_HOME/acme_psro`, else `~/.cache/acme_psro`. Files hold arrays only: reading one runs no code.
A file that cannot be read is treated as absent.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

from acme_psro.games.tree import GameTree
from acme_psro.system.files import write_atomically

_LAYOUT = 1
_ARRAYS = (
    "player", "infoset", "parent", "slot", "first_child", "num_children", "probability", "reward",
    "depth_offsets", "legal_actions", "info_state",
)  # fmt: skip


def directory() -> Path:
    """Where compiled games are kept."""
    if root := os.environ.get("ACME_PSRO_CACHE"):
        return Path(root)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "acme_psro"


def fits(game_string: str) -> bool:
    """Whether the string says all there is about a game: not where it names a file to read it from."""
    return not any(Path(word).is_file() for word in re.split(r"[(),=]", game_string) if word)


def path_of(game_string: str) -> Path:
    """The file of a game, as `str(game)` spells it."""
    version = importlib.metadata.version("open_spiel")
    digest = hashlib.sha256(f"{_LAYOUT}\n{version}\n{game_string}".encode()).hexdigest()
    return directory() / f"{digest[:32]}.npz"


def write(tree: GameTree) -> None:
    """Keeps a compiled game; a cache that cannot be written is no error."""
    arrays = {name: getattr(tree, name) for name in _ARRAYS}
    for player, offsets in enumerate(tree.level_offsets):
        arrays[f"level_offsets_{player}"] = offsets
    arrays["keys"] = np.frombuffer("\0".join(tree.keys).encode(), np.uint8)
    arrays["game_string"] = np.frombuffer(tree.game_string.encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    try:
        directory().mkdir(parents=True, exist_ok=True)
        write_atomically(path_of(tree.game_string), buffer.getvalue())
    except OSError:
        pass


def read(game_string: str) -> GameTree | None:
    """The compiled game, or None where it is not kept or cannot be read."""
    try:
        with np.load(path_of(game_string), allow_pickle=False) as stored:
            players = stored["reward"].shape[1]
            keys = stored["keys"].tobytes().decode()
            tree = GameTree(
                game_string=stored["game_string"].tobytes().decode(),
                num_players=players,
                level_offsets=tuple(stored[f"level_offsets_{p}"] for p in range(players)),
                keys=tuple(keys.split("\0")) if keys else (),
                **{name: stored[name] for name in _ARRAYS},
            )
    except (OSError, KeyError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None
    return tree if tree.game_string == game_string and len(tree.keys) == tree.num_infosets else None

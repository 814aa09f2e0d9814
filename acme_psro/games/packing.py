"""Compiled games as bytes: arrays, texts and a digest of them, so that reading one cannot run code."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from acme_psro.games import graph as graph_arrays
from acme_psro.games import tree as tree_arrays
from acme_psro.games.graph import GameGraph
from acme_psro.games.tree import GameTree
from acme_psro.system import archives

# What reading damaged bytes may raise, depending on which of them are damaged.
DAMAGES = (OSError, KeyError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
# An array that graphs have and trees do not.
_OF_GRAPHS = "limits"


def pack(game: GameTree | GameGraph) -> bytes:
    """Returns a compiled game as the content of an uncompressed `.npz` file."""
    texts = {"keys": "\0".join(game.keys), "game_string": game.game_string, "digest": game.digest}
    if isinstance(game, GameTree):
        arrays = {name: getattr(game, name) for name in tree_arrays.ARRAYS}
        arrays |= {f"level_offsets_{player}": offsets for player, offsets in enumerate(game.level_offsets)}
    else:
        arrays = {name: getattr(game, name) for name in graph_arrays.ARRAYS}
        arrays[_OF_GRAPHS] = np.array([game.max_moves, game.is_cyclic], np.int64)
        texts |= {"seen_by": game.seen_by, "remark": game.remark}
    # Strings are stored as bytes. Arrays of Python objects would need pickle, which can run code.
    packed = {name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()}
    return archives.pack({**arrays, **packed}, compressed=False)


def unpack(content: bytes) -> GameTree | GameGraph:
    """Returns the compiled game that `pack` made these bytes of.

    Raises:
      ValueError: they were truncated or altered.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            game = graph_of(stored) if _OF_GRAPHS in stored else tree_of(stored)
            is_whole = is_unaltered(game, stored)
    except DAMAGES:
        is_whole = False
    if not is_whole:
        raise ValueError("a compiled game was altered on its way: send it again.")
    return game


def tree_of(stored: Mapping[str, np.ndarray]) -> GameTree:
    """Returns the tree that these arrays are of; they may raise any of `DAMAGES`."""
    players = stored["reward"].shape[1]
    return GameTree(
        game_string=_text(stored["game_string"]),
        num_players=players,
        level_offsets=tuple(stored[f"level_offsets_{player}"] for player in range(players)),
        keys=_keys(stored),
        **{name: stored[name] for name in tree_arrays.ARRAYS},
    )


def graph_of(stored: Mapping[str, np.ndarray]) -> GameGraph:
    """Returns the graph that these arrays are of; they may raise any of `DAMAGES`."""
    max_moves, is_cyclic = stored[_OF_GRAPHS].tolist()
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


def is_unaltered(game: GameTree | GameGraph, stored: Mapping[str, np.ndarray]) -> bool:
    """Returns True if a game's arrays have the digest that is stored beside them."""
    return game.digest == _text(stored["digest"])


def _text(stored: np.ndarray) -> str:
    return stored.tobytes().decode()


def _keys(stored: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    keys = _text(stored["keys"])
    return tuple(keys.split("\0")) if keys else ()

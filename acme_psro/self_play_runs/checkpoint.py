"""Checkpoints of a self-play run: one file each, of arrays and JSON, never pickles.

A file is written to a temporary name and renamed, and has a SHA-256 digest of its content, so that a run that
is killed at any time resumes from its newest whole checkpoint.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from acme_psro.system import archives
from acme_psro.system.files import write_atomically

_VERSION = 1
# If the newest is damaged, there is one before it.
_KEPT = 2
_HEADER = "about"
_FILE = re.compile(r"state_\d{5,}\.npz", re.ASCII)
_UNFINISHED = re.compile(r"\.state_\d{5,}\.npz\.[0-9a-f]+\.tmp", re.ASCII)


class CheckpointError(ValueError):
    """No checkpoint can be used; the message is one line for the user."""


class Saved(NamedTuple):
    """Content of a checkpoint.

    Attributes:
      about: JSON: counts, rows of metrics and the game's digest.
      arrays: the training state, by name.
    """

    about: dict[str, Any]
    arrays: dict[str, np.ndarray]


def exists(directory: Path) -> bool:
    """Returns True if there is a checkpoint here, whole or not."""
    return bool(_find(directory))


def save(directory: Path, updates: int, saved: Saved) -> None:
    """Writes the checkpoint after a number of updates, and keeps the one before it."""
    directory.mkdir(parents=True, exist_ok=True)
    header = {"version": _VERSION, "about": saved.about, "sha256": archives.digest(saved.about, saved.arrays)}
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    # Parameters hardly get smaller by compression, which takes much longer than writing them.
    content = archives.pack({_HEADER: text, **saved.arrays}, compressed=False)
    write_atomically(directory / f"state_{updates:010d}.npz", content)
    for path in _find(directory)[_KEPT:]:
        path.unlink(missing_ok=True)


def restore(directory: Path, game: str, warn: Callable[[str], None]) -> Saved | None:
    """Returns the newest whole checkpoint, and removes what a killed process left behind after it.

    Args:
      directory: the directory of checkpoints.
      game: digest of the compiled game.
      warn: called with one line for every checkpoint that is skipped.

    Returns:
      None if there is no checkpoint.

    Raises:
      CheckpointError: no checkpoint is whole, or the game has changed since.
    """
    paths = _find(directory)
    for path in paths:
        saved = _read(path)
        if saved is None:
            warn(f"{path.name} is truncated or altered, and is not used.")
            continue
        if saved.about["game"] != game:
            raise CheckpointError(
                f"the game is no longer the one that the run in {directory.parent} began with: restore the "
                "game, or start a new run in another directory."
            )
        for newer in paths[: paths.index(path)]:
            newer.unlink(missing_ok=True)
        for unfinished in directory.iterdir():
            if _UNFINISHED.fullmatch(unfinished.name):
                unfinished.unlink(missing_ok=True)
        return saved
    if paths:
        raise CheckpointError(
            f"no checkpoint in {directory} is whole ({len(paths)} tried): start again in a new directory."
        )
    return None


def _find(directory: Path) -> list[Path]:
    """Returns the files of checkpoints, the newest first."""
    if not directory.is_dir():
        return []
    return sorted((path for path in directory.iterdir() if _FILE.fullmatch(path.name)), reverse=True)


def _read(path: Path) -> Saved | None:
    """Returns the content of a file, or None if it is damaged or of another version."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays = dict(stored)
        header = json.loads(arrays.pop(_HEADER).tobytes())
        whole = header["version"] == _VERSION and header["sha256"] == archives.digest(header["about"], arrays)
    # Damaged archives raise whatever zipfile, zlib and NumPy raise.
    except PermissionError:
        raise
    except Exception:
        return None
    return Saved(header["about"], arrays) if whole else None

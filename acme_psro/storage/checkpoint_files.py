"""Names and contents of the files of checkpoints, see `acme_psro.storage.checkpoint`.

Other programs and people leave files in these directories too, such as copies and notes: only files with the
exact names below are read or removed.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import numpy as np

MANIFEST = re.compile(r"state_\d{5,}\.json", re.ASCII)
POLICY = re.compile(r"player_\d+_\d{5,}(_[0-9a-f]{16})?\.npz", re.ASCII)
STRATEGY = re.compile(r"strategy_\d{5,}\.npz", re.ASCII)
# Files that `acme_psro.system.files.write_atomically` has not finished.
UNFINISHED = re.compile(
    r"\.(state_\d{5,}\.(json|npz)|player_\d+_\d{5,}(_[0-9a-f]{16})?\.npz|strategy_\d{5,}\.npz)"
    r"\.[0-9a-f]+\.tmp",
    re.ASCII,
)


class CheckpointError(ValueError):
    """No checkpoint can be used; the message is one line for the user."""


def policy_path(directory: Path, player: int, index: int, digest: str = "") -> Path:
    """Returns the file of a player's policy.

    Args:
      directory: the directory of checkpoints.
      player: the player.
      index: the policy's index in its population.
      digest: hexadecimal digest of the file, if another policy may have the same index later.
    """
    end = f"_{digest[:16]}" if digest else ""
    return directory / "policies" / f"player_{player}_{index:05d}{end}.npz"


def strategy_path(directory: Path, row: int) -> Path:
    """Returns the file of the meta-strategy of a row of metrics, if it has one."""
    return directory / "strategies" / f"strategy_{row:05d}.npz"


def find_manifests(directory: Path) -> list[Path]:
    """Returns all manifests, the newest first; none if there is no such directory.

    Raises:
      OSError: the directory cannot be listed.
    """
    return sorted(find(directory, MANIFEST), key=iteration_of, reverse=True)


def iteration_of(manifest: Path) -> int:
    """Returns the iteration after which a manifest was written."""
    return int(manifest.stem.removeprefix("state_"))


def find(directory: Path, names: re.Pattern[str]) -> list[Path]:
    """Returns the files in a directory whose names match; none if there is no such directory.

    Raises:
      OSError: the directory cannot be listed.
    """
    try:
        with os.scandir(directory) as entries:
            return [
                directory / each.name for each in entries if names.fullmatch(each.name) and each.is_file()
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []


def read_content(path: Path) -> bytes:
    """Returns the content of a file of a checkpoint.

    Raises:
      CheckpointError: it does not exist or cannot be read.
      PermissionError: it may not be read.
    """
    try:
        return path.read_bytes()
    except PermissionError:
        raise
    except FileNotFoundError:
        raise CheckpointError(f"{path.name} is missing, truncated or altered.") from None
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror}.") from None


def unpack(source: Path | io.BytesIO) -> dict[str, np.ndarray]:
    """Returns the arrays that `archives.pack` wrote, from a file or from its content; never unpickles.

    Raises:
      ValueError: the file holds objects, which would have to be unpickled.
      BadZipFile: the file is not such an archive.
    """
    with np.load(source, allow_pickle=False) as stored:
        return dict(stored)

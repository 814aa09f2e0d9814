"""Files of policies in checkpoints: written once, and kept as long as a checkpoint needs them.

A policy that may change while it keeps its index has the digest of its content in its file's name, so that
earlier checkpoints stay whole when it does, and nothing is written when it does not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from acme_psro.meta_game.base import PolicyT
from acme_psro.storage.checkpoint_files import (
    POLICY,
    CheckpointError,
    find,
    find_manifests,
    policy_path,
    read_content,
)
from acme_psro.system.files import write_atomically


def write(
    directory: Path,
    policy: PolicyT,
    player: int,
    index: int,
    pack: Callable[[PolicyT, int], bytes],
    lasting: bool,
) -> Path:
    """Writes a policy's file unless it exists, and returns the file.

    Args:
      directory: the directory of checkpoints.
      policy: the policy.
      player: the player.
      index: the policy's index in its population.
      pack: (policy, player) -> the file's content; not called if the policy is lasting and its file exists.
      lasting: True if the policy never changes.
    """
    path = policy_path(directory, player, index)
    if lasting and path.exists():
        return path
    content = pack(policy, player)
    if not lasting:
        path = policy_path(directory, player, index, hashlib.sha256(content).hexdigest())
    if not path.exists():
        write_atomically(path, content)
    return path


def in_use(directory: Path) -> set[Path]:
    """Returns the files that manifests name. A manifest that cannot be read names none."""
    used = set()
    for path in find_manifests(directory):
        with contextlib.suppress(CheckpointError, ValueError, KeyError, AttributeError, TypeError):
            used |= {directory / name for name in json.loads(read_content(path))["files"]}
    return used


def remove_others(directory: Path, needed: set[Path]) -> None:
    """Removes the files of policies that are not needed."""
    for path in find(directory / "policies", POLICY):
        if path not in needed:
            path.unlink(missing_ok=True)

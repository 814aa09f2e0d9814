"""Snapshots of a program's policy, evenly spaced through training, as stored policies.

A learner does not improve at every step, so the last policy need not be the best one. The snapshots and the
final policy are candidates, from which the outer loop takes the best by its own measure.

    snapshots/policy_000000012000.npz   policy after 12,000 actor steps
"""

from __future__ import annotations

import re
from pathlib import Path

from acme_psro.policies import stored
from acme_psro.policies.stored import StoredPolicy

DIRECTORY = "snapshots"
_NAME = re.compile(r"policy_(\d+)\.npz", re.ASCII)


def find(directory: Path) -> tuple[Path, ...]:
    """Returns the files of all snapshots, oldest first.

    Args:
      directory: output directory of the run.
    """
    return tuple(path for _, path in _numbered(directory))


def is_due(directory: Path, snapshots: int, actor_steps: float, max_actor_steps: int) -> bool:
    """Returns True if a part of the budget has passed since the newest snapshot.

    The budget is divided into as many parts as there are policies to take. The last of them is the final
    policy, which is no snapshot.

    Args:
      directory: output directory of the run.
      snapshots: number of policies to take, the final one included; 0 for none but the final one.
      actor_steps: number of actor steps so far.
      max_actor_steps: number of actor steps after which the program ends.
    """

    def part_of(steps: float) -> int:
        return int(steps * snapshots // max_actor_steps)

    found = _numbered(directory)
    return part_of(found[-1][0] if found else 0) < part_of(actor_steps) < snapshots


def write(directory: Path, actor_steps: float, policy: StoredPolicy) -> None:
    """Writes a snapshot, whole or not at all.

    Args:
      directory: output directory of the run.
      actor_steps: number of actor steps so far.
      policy: the policy at this time.
    """
    place = directory / DIRECTORY
    place.mkdir(exist_ok=True)
    stored.write(place / f"policy_{int(actor_steps):012d}.npz", policy)


def rewind(directory: Path, actor_steps: float) -> None:
    """Removes the snapshots that are newer than the checkpoint from which a run is resumed.

    Args:
      directory: output directory of the run.
      actor_steps: number of steps at that checkpoint.
    """
    for steps, path in _numbered(directory):
        if steps > actor_steps:
            path.unlink()


def _numbered(directory: Path) -> list[tuple[int, Path]]:
    """Returns the snapshots with their actor steps, oldest first; files with other names are ignored."""
    place = directory / DIRECTORY
    paths = list(place.iterdir()) if place.is_dir() else []
    named = [(_NAME.fullmatch(path.name), path) for path in paths]
    return sorted((int(name[1]), path) for name, path in named if name)

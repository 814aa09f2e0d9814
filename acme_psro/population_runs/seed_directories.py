"""Directories of several seeds: `DIRECTORY/seed_N` is the run directory of seed N, complete in itself."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from acme_psro.storage import checkpoint
from acme_psro.storage.run_config import RunDirectoryError

_NAME = re.compile(r"seed_(\d+)")
# Directories that a message names.
_MOST_NAMES = 6


def directory_of(root: Path, seed: int) -> Path:
    """Returns the directory of a seed's run."""
    return root / f"seed_{seed}"


def is_begun(directory: Path) -> bool:
    """Returns True if a run has begun in a directory, whether or not it has come to its first checkpoint."""
    # Unlike `Path.exists`, this raises nothing for a name that the file system refuses.
    if not os.path.isdir(directory):
        return False
    return (directory / "config.json").exists() or checkpoint.exists(directory / "checkpoints")


def find_seeds(root: Path) -> list[int]:
    """Returns the seeds whose runs have begun in a directory, in ascending order."""
    if not os.path.isdir(root):
        return []
    named = ((path, _NAME.fullmatch(path.name)) for path in root.iterdir())
    return sorted(int(name[1]) for path, name in named if name and is_begun(path))


def check_for_seeds(root: Path, seeds: Sequence[int], resume: bool) -> None:
    """Checks that runs of these seeds may begin, or resume, in a directory; each of them is checked later.

    Args:
      root: the directory, which need not exist.
      seeds: the seeds.
      resume: True if runs are to be resumed. Those that have not begun begin then.

    Raises:
      RunDirectoryError: they may not; the message says why and what to do.
    """
    if is_begun(root):
        raise RunDirectoryError(
            f"{root} holds a run of one seed: choose another --output_dir, or leave out --num_seeds."
        )
    if resume and not any(is_begun(directory_of(root, seed)) for seed in seeds):
        raise RunDirectoryError(f"there are no runs to resume in {root}: leave out --resume.")


def check_names_one(directory: Path) -> None:
    """Checks that a directory, of which one run is to be read, is not that of several seeds.

    Raises:
      RunDirectoryError: it is; the message names the directories of the runs.
    """
    if not is_begun(directory) and (seeds := find_seeds(directory)):
        names = [directory_of(directory, seed).name for seed in seeds]
        if len(names) > _MOST_NAMES:
            names = [*names[: _MOST_NAMES - 1], f".. {names[-1]}"]
        raise RunDirectoryError(
            f"{directory} holds runs of several seeds: name one of them, {directory / names[0]}"
            f"{''.join(f', {name}' for name in names[1:])}."
        )


def check_for_one(directory: Path) -> None:
    """Checks that a directory, in which one run is to begin, does not hold the runs of several seeds.

    Raises:
      RunDirectoryError: it does.
    """
    if not is_begun(directory) and (seeds := find_seeds(directory)):
        raise RunDirectoryError(
            f"{directory} holds runs of several seeds: choose another --output_dir, or give --num_seeds, or "
            f"the directory of one of them, such as {directory_of(directory, seeds[0])}."
        )

"""Directory of a sweep: `sweep.json` says which runs belong to it, and `CELL/seed_N` has the files of one.

A run's directory is that of `acme-psro run`, with `finished.json` beside the other files once it is done.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acme_psro.population_runs.seed_directories import directory_of, find_seeds, is_begun
from acme_psro.storage.run_config import RunDirectoryError
from acme_psro.storage.run_directory import check_place
from acme_psro.sweeps.cells import Cell, unique
from acme_psro.system.files import write_atomically
from acme_psro.system.nested import flatten

_MANIFEST = "sweep.json"
# File in the directory of a run that is done.
FINISHED = "finished.json"
_VERSION = 1
# Differences that a message names.
_MOST_DIFFERENCES = 3


def run_directory_of(root: Path, cell: Cell, seed: int) -> Path:
    """Returns the directory of a run."""
    return directory_of(root / cell.name, seed)


def write_finished(directory: Path) -> None:
    """Records that the run in a directory is done."""
    write_atomically(directory / FINISHED, json.dumps({"version": _VERSION}) + "\n")


def is_finished(directory: Path) -> bool:
    """Returns True if the run in a directory is done."""
    return (directory / FINISHED).is_file()


def settle(root: Path, command: str, cells: Sequence[Cell], seeds: Sequence[int], resume: bool) -> list[Cell]:
    """Checks that a sweep may begin, or go on, in a directory; writes nothing.

    Args:
      root: the sweep's directory, which need not exist.
      command: the command that carries out each run.
      cells: the cells that the file describes.
      seeds: the seeds of each cell.
      resume: True if a sweep is to be resumed. Cells and seeds may have been added to it.

    Returns:
      The cells, with the names of the directories that they have already.

    Raises:
      RunDirectoryError: it may not; the message says why and what to do.
    """
    check_place(root)
    if is_begun(root) or find_seeds(root):
        raise RunDirectoryError(f"{root} holds a run, not a sweep: choose another --output_dir.")
    before = _read(root / _MANIFEST)
    if before is None:
        if resume:
            raise RunDirectoryError(f"there is no sweep to resume in {root}: leave out --resume.")
        for cell in cells:
            if find_seeds(root / cell.name):
                raise RunDirectoryError(
                    f"{root / cell.name} holds runs, and {_MANIFEST} is missing: choose another --output_dir."
                )
        return list(cells)
    changes = _changes(before, command, cells, seeds)
    if changes:
        raise RunDirectoryError(
            f"{root} holds a sweep of another file: {'; '.join(changes[:_MOST_DIFFERENCES])}. Only cells and "
            "seeds may be added: choose another --output_dir, or change the file back."
        )
    if not resume:
        raise RunDirectoryError(
            f"{root} holds this sweep already: add --resume to go on with it, or choose another --output_dir."
        )
    return _rename(before, cells)


def write_manifest(root: Path, command: str, cells: Sequence[Cell], seeds: Sequence[int]) -> None:
    """Writes `sweep.json`; the directory must exist."""
    manifest = {
        "version": _VERSION,
        "command": command,
        "seeds": sorted(seeds),
        "cells": [{"name": cell.name, "config": cell.config} for cell in cells],
    }
    write_atomically(root / _MANIFEST, json.dumps(manifest, indent=1) + "\n")


def _read(path: Path) -> dict[str, Any] | None:
    """Returns the manifest, or None if there is none.

    Raises:
      RunDirectoryError: it was altered.
    """
    try:
        manifest = json.loads(path.read_bytes())
        named = [(str(each["name"]), dict(each["config"])) for each in manifest["cells"]]
        return {
            "command": str(manifest["command"]),
            "seeds": [int(seed) for seed in manifest["seeds"]],
            "cells": named,
        }
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise RunDirectoryError(f"{path} cannot be read: it is truncated or altered.") from None


def _changes(
    before: Mapping[str, Any], command: str, cells: Sequence[Cell], seeds: Sequence[int]
) -> list[str]:
    """Returns what was changed other than by adding cells and seeds."""
    if command != before["command"]:
        return [f"command is {before['command']}, not {command}"]
    missing = sorted(set(before["seeds"]) - set(seeds))
    changes = [f"seeds lack {', '.join(map(str, missing))}"] if missing else []
    present = {_key(cell.config) for cell in cells}
    for name, config in before["cells"]:
        if _key(config) not in present:
            # The most similar cell is the one that this cell was before the file was changed.
            nearest = min((_differences(config, cell.config) for cell in cells), key=len)
            changes.append(f"cell {name} has {', '.join(nearest[:_MOST_DIFFERENCES])}")
    return changes


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    flat_old, flat_new = flatten(json.loads(_key(old))), flatten(json.loads(_key(new)))
    return [
        f"{name} {json.dumps(flat_old.get(name))}, not {json.dumps(flat_new.get(name))}"
        for name in {**flat_old, **flat_new}
        if flat_old.get(name) != flat_new.get(name)
    ]


def _rename(before: Mapping[str, Any], cells: Sequence[Cell]) -> list[Cell]:
    """Returns the cells with the names of their directories; new cells get names that no other has."""
    names = {_key(config): name for name, config in before["cells"]}
    taken = {name.lower() for name in names.values()}
    renamed = []
    for cell in cells:
        name = names.get(_key(cell.config)) or unique(cell.name, taken)
        taken.add(name.lower())
        renamed.append(dataclasses.replace(cell, name=name))
    return renamed


def _key(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True)

"""Checkpoints: the whole state of a run in a directory of arrays and JSON, never pickles.

Layout, version 1:

    policies/player_P_KKKKK.npz    policy K of player P, written once; if policies change, with a digest in
    its name strategies/strategy_IIIII.npz  a meta-strategy after iteration I that is one policy a player,
    written once state_IIIII.npz                everything else after iteration I
    state_IIIII.json               the manifest: SHA-256 of every file that the state needs, and of itself

Files are written to a temporary name and renamed, the manifest last, so a run killed at any moment leaves
the checkpoint before it whole. Reading verifies every digest and falls back to the newest whole checkpoint.
The types of policies and payoffs depend on the run: a `Format` turns them into bytes and arrays, and back.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.oracles.base import Counts
from acme_psro.psro.loop import PSROState
from acme_psro.storage import policy_files, strategies
from acme_psro.storage.checkpoint_files import (
    STRATEGY,
    UNFINISHED,
    CheckpointError,
    find,
    find_manifests,
    iteration_of,
    policy_path,
    read_content,
    strategy_path,
    unpack,
)
from acme_psro.storage.record import Format, Record
from acme_psro.system.archives import pack
from acme_psro.system.files import write_atomically
from acme_psro.system.signed_json import read_signed, sign

__all__ = [
    "VERSION",
    "CheckpointError",
    "GameChangedError",
    "exists",
    "policy_path",
    "prune",
    "restore",
    "save",
    "unpack",
]

VERSION = 1
_KEPT = 3
# Names of the arrays in which an oracle's memory is kept begin with this.
_MEMORY = "memory_"
# A running run removes every checkpoint that was listed if reading takes longer than a few iterations.
_LISTINGS = 5


class GameChangedError(ValueError):
    """The game has changed since the run began. The message is one line for the user."""


def save(directory: Path, record: Record[PolicyT, PayoffsT], form: Format[PolicyT, PayoffsT]) -> None:
    """Writes a checkpoint; keeps the last few."""
    (directory / "policies").mkdir(parents=True, exist_ok=True)
    digests = {}
    policies = [
        [
            policy_files.write(directory, policy, player, index, form.pack_policy, form.lasting)
            for index, policy in enumerate(population)
        ]
        for player, population in enumerate(record.state.populations)
    ]
    for path in itertools.chain(*policies):
        digests[str(path.relative_to(directory))] = _digest(path.read_bytes())
    for path in strategies.write_files(directory, record.meta_strategies):
        digests[str(path.relative_to(directory))] = _digest(path.read_bytes())
    name = f"state_{record.state.iteration:05d}"
    players = len(record.state.populations)
    strategy_arrays = strategies.to_arrays(record.meta_strategies, players)
    memory = {f"{_MEMORY}{name}": values for name, values in record.memory.items()}
    arrays = pack(strategy_arrays | form.pack_payoffs(record.state.payoffs) | memory)
    write_atomically(directory / f"{name}.npz", arrays)
    digests[f"{name}.npz"] = _digest(arrays)
    manifest = {
        "version": VERSION,
        "game": form.game,
        "iteration": record.state.iteration,
        "populations": [len(population) for population in record.state.populations],
        "policies": [[str(path.relative_to(directory)) for path in own] for own in policies],
        "totals": dataclasses.asdict(record.state.counts),
        "metrics": record.metrics,
        "files": digests,
    }
    write_atomically(directory / f"{name}.json", json.dumps(sign(manifest), indent=1))
    for old in find_manifests(directory)[_KEPT:]:
        old.unlink()
        old.with_suffix(".npz").unlink(missing_ok=True)
    if not form.lasting:
        policy_files.remove_others(directory, policy_files.in_use(directory))


def exists(directory: Path) -> bool:
    """Returns True if there is a checkpoint here, whole or not.

    Raises:
      OSError: the directory cannot be listed.
    """
    return bool(find_manifests(directory))


def restore(
    directory: Path, form: Format[PolicyT, PayoffsT], warn: Callable[[str], None]
) -> Record[PolicyT, PayoffsT]:
    """Reads the newest whole checkpoint. The run may be writing others at the same time.

    Args:
      directory: the directory of checkpoints.
      form: the format of policies and payoffs.
      warn: called with one line for every checkpoint that is skipped.

    Raises:
      CheckpointError: there is none, or none is whole.
      OSError: the directory or a manifest cannot be read, for example without permission.
    """
    tried: list[Path] = []
    for _ in range(_LISTINGS):
        manifests = find_manifests(directory)
        if not manifests:
            raise CheckpointError(f"this run has no checkpoint yet (there is no checkpoint in {directory}).")
        new = [manifest for manifest in manifests if manifest not in tried]
        for manifest in new:
            try:
                return _read(directory, manifest, form)
            except CheckpointError as error:
                # A running run removes its old checkpoints, the manifest first: no reason for a warning.
                if manifest.exists():
                    warn(f"checkpoint {manifest.stem} cannot be used: {error}")
        tried += new
        if not new:
            break
    raise CheckpointError(f"no checkpoint in {directory} is whole ({len(manifests)} tried).")


def prune(directory: Path, record: Record[PolicyT, PayoffsT]) -> None:
    """Removes files that do not belong to a restored record: newer checkpoints and incomplete policies.

    It must be called before a run resumes from the record, because existing policies are never rewritten.
    Files whose names are not those of a checkpoint's files are left alone.
    """
    for manifest in find_manifests(directory):
        if iteration_of(manifest) > record.state.iteration:
            manifest.unlink()
            manifest.with_suffix(".npz").unlink(missing_ok=True)
    needed = {
        policy_path(directory, player, index)
        for player, population in enumerate(record.state.populations)
        for index in range(len(population))
    }
    policy_files.remove_others(directory, needed | policy_files.in_use(directory))
    strategies_needed = {strategy_path(directory, row) for row in range(len(record.meta_strategies))}
    for path in find(directory / "strategies", STRATEGY):
        if path not in strategies_needed:
            path.unlink()
    for folder in (directory / "policies", directory / "strategies", directory):
        for unfinished in find(folder, UNFINISHED):
            unfinished.unlink()


def _read(directory: Path, path: Path, form: Format[PolicyT, PayoffsT]) -> Record[PolicyT, PayoffsT]:
    """Reads the checkpoint with a manifest.

    Raises:
      CheckpointError: it cannot be used.
      PermissionError: a file may not be read, so that it is not known whether the checkpoint is whole.
    """
    content = read_content(path)
    # Read at once, because a running run soon removes this file and the manifest. Policies stay.
    state_file = f"{path.stem}.npz"
    packed = read_content(directory / state_file)
    manifest = read_signed(content)
    if manifest is None:
        raise CheckpointError("its manifest is truncated or altered.")
    if manifest["version"] != VERSION:
        raise CheckpointError(f"it has version {manifest['version']}; this program reads {VERSION}.")
    # Runs of earlier versions did not record the game's content.
    if manifest.get("game", form.game) != form.game:
        raise GameChangedError(
            f"the game is no longer the one that the run in {directory.parent} began with: restore the game, "
            "or start a new run in another directory."
        )
    for name, digest in manifest["files"].items():
        if _digest(packed if name == state_file else read_content(directory / name)) != digest:
            raise CheckpointError(f"{name} is missing, truncated or altered.")
    sizes = manifest["populations"]
    # Checkpoints of earlier versions have policies that never change alone, in files of known names.
    files = manifest.get("policies") or [
        [policy_path(Path(), player, index) for index in range(size)] for player, size in enumerate(sizes)
    ]
    try:
        populations = tuple(
            tuple(form.read_policy(directory / path, player) for path in own)
            for player, own in enumerate(files)
        )
        arrays = unpack(io.BytesIO(packed))
        payoffs = form.unpack_payoffs(arrays)
        rows = len(manifest["metrics"])
        meta_strategies = strategies.from_arrays(arrays, rows, len(sizes), directory)
    except PermissionError:
        raise
    except OSError as error:
        raise CheckpointError(f"a file cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"it does not fit the game: {error}") from None
    state = PSROState(
        populations=populations,
        payoffs=payoffs,
        meta_strategy=meta_strategies[-1],
        iteration=manifest["iteration"],
        counts=Counts(**manifest["totals"]),
    )
    memory = {name.removeprefix(_MEMORY): arrays[name] for name in arrays if name.startswith(_MEMORY)}
    return Record(state, manifest["metrics"], meta_strategies, memory)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

"""Checkpoints: the whole state of a run in a directory of arrays and JSON, never pickles.

Layout, version 1:

    policies/player_P_KKKKK.npz   policy K of player P, written once
    state_IIIII.npz               everything else after iteration I
    state_IIIII.json              the manifest: SHA-256 of every file that the state needs, and of itself

Files are written to a temporary name and renamed, the manifest last, so a run killed at any moment leaves
the checkpoint before it whole. Reading verifies every digest and falls back to the newest whole checkpoint.
The types of policies and payoffs depend on the run: a `Format` turns them into bytes and arrays, and back.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic

import numpy as np

from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.oracles.base import Counts
from acme_psro.policies.meta_strategy import JointStrategy, MetaStrategy, ProductStrategy
from acme_psro.psro.loop import PSROState
from acme_psro.system.files import write_atomically

VERSION = 1
_KEPT = 3


class CheckpointError(ValueError):
    """No checkpoint can be used; the message is one line for the user."""


@dataclasses.dataclass(frozen=True, eq=False)
class Record(Generic[PolicyT, PayoffsT]):
    """Progress of a run, as a checkpoint keeps it.

    Attributes:
      state: the outer loop's state; its `responses` are not kept, as nothing later needs them.
      metrics: one row an iteration, beginning with the initial populations' row.
      meta_strategies: the meta-strategy of each row.
    """

    state: PSROState[PolicyT, PayoffsT]
    metrics: list[dict[str, float]]
    meta_strategies: list[MetaStrategy]


@dataclasses.dataclass(frozen=True)
class Format(Generic[PolicyT, PayoffsT]):
    """The representation of policies and payoffs on disk; see `acme_psro.storage.formats`.

    Attributes:
      pack_policy: (policy, player) -> the content of the policy's file.
      read_policy: (file, player) -> policy; raises a ValueError or KeyError if the file does not fit.
      pack_payoffs: payoffs -> arrays by name, "payoffs" among them.
      unpack_payoffs: those arrays, among others -> payoffs; raises a KeyError if one is missing.
    """

    pack_policy: Callable[[PolicyT, int], bytes]
    read_policy: Callable[[Path, int], PolicyT]
    pack_payoffs: Callable[[PayoffsT], dict[str, np.ndarray]]
    unpack_payoffs: Callable[[Mapping[str, np.ndarray]], PayoffsT]


def save(directory: Path, record: Record[PolicyT, PayoffsT], form: Format[PolicyT, PayoffsT]) -> None:
    """Writes a checkpoint; keeps the last few."""
    (directory / "policies").mkdir(parents=True, exist_ok=True)
    digests = {}
    for player, population in enumerate(record.state.populations):
        for index, policy in enumerate(population):
            path = policy_path(directory, player, index)
            if not path.exists():
                write_atomically(path, form.pack_policy(policy, player))
            digests[str(path.relative_to(directory))] = _digest(path.read_bytes())
    name = f"state_{record.state.iteration:05d}"
    arrays = pack(_strategy_arrays(record) | form.pack_payoffs(record.state.payoffs))
    write_atomically(directory / f"{name}.npz", arrays)
    digests[f"{name}.npz"] = _digest(arrays)
    manifest = {
        "version": VERSION,
        "iteration": record.state.iteration,
        "populations": [len(population) for population in record.state.populations],
        "totals": dataclasses.asdict(record.state.counts),
        "metrics": record.metrics,
        "files": digests,
    }
    manifest["sha256"] = _digest(_canonical(manifest))
    write_atomically(directory / f"{name}.json", json.dumps(manifest, indent=1))
    for old in _manifests(directory)[_KEPT:]:
        old.unlink()
        old.with_suffix(".npz").unlink(missing_ok=True)


def exists(directory: Path) -> bool:
    """Returns True if there is a checkpoint here, whole or not."""
    return bool(_manifests(directory))


def restore(
    directory: Path, form: Format[PolicyT, PayoffsT], warn: Callable[[str], None]
) -> Record[PolicyT, PayoffsT]:
    """Reads the newest whole checkpoint.

    Args:
      warn: called with one line for every checkpoint that is skipped.

    Raises:
      CheckpointError: there is none, or none is whole.
    """
    manifests = _manifests(directory)
    if not manifests:
        raise CheckpointError(f"there is no checkpoint in {directory}: start the run without --resume.")
    for manifest in manifests:
        try:
            return _read(directory, manifest, form)
        except CheckpointError as error:
            warn(f"checkpoint {manifest.stem} cannot be used: {error}")
    raise CheckpointError(
        f"no checkpoint in {directory} is whole ({len(manifests)} tried): start again in a new directory."
    )


def prune(directory: Path, record: Record[PolicyT, PayoffsT]) -> None:
    """Removes files that do not belong to a restored record: newer checkpoints and incomplete policies.

    It must be called before a run resumes from the record, because existing policies are never rewritten.
    """
    for manifest in _manifests(directory):
        if int(manifest.stem.removeprefix("state_")) > record.state.iteration:
            manifest.unlink()
            manifest.with_suffix(".npz").unlink(missing_ok=True)
    needed = {
        policy_path(directory, player, index)
        for player, population in enumerate(record.state.populations)
        for index in range(len(population))
    }
    for path in (directory / "policies").iterdir():
        if path not in needed:
            path.unlink()
    for unfinished in directory.glob(".*.tmp"):
        unfinished.unlink()


def _read(directory: Path, path: Path, form: Format[PolicyT, PayoffsT]) -> Record[PolicyT, PayoffsT]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        claimed = manifest.pop("sha256")
        intact = claimed == _digest(_canonical(manifest))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        intact = False
    if not intact:
        raise CheckpointError("its manifest is truncated or altered.")
    if manifest["version"] != VERSION:
        raise CheckpointError(f"it has version {manifest['version']}; this program reads {VERSION}.")
    for name, digest in manifest["files"].items():
        file = directory / name
        if not file.exists() or _digest(file.read_bytes()) != digest:
            raise CheckpointError(f"{name} is missing, truncated or altered.")
    sizes = manifest["populations"]
    try:
        populations = tuple(
            tuple(form.read_policy(policy_path(directory, player, index), player) for index in range(size))
            for player, size in enumerate(sizes)
        )
        arrays = unpack(directory / f"{path.stem}.npz")
        payoffs = form.unpack_payoffs(arrays)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"it does not fit the game: {error}") from None
    strategies = _split_strategies(arrays, len(manifest["metrics"]), len(sizes))
    state = PSROState(
        populations=populations,
        payoffs=payoffs,
        meta_strategy=strategies[-1],
        iteration=manifest["iteration"],
        counts=Counts(**manifest["totals"]),
    )
    return Record(state, manifest["metrics"], strategies)


def _strategy_arrays(record: Record[PolicyT, PayoffsT]) -> dict[str, np.ndarray]:
    """Returns the meta-strategies as arrays: every player's marginals in one, joint distributions by row."""
    arrays = {}
    for player in range(len(record.state.populations)):
        marginals = [
            strategy.marginals[player] if isinstance(strategy, ProductStrategy) else np.zeros(0)
            for strategy in record.meta_strategies
        ]
        arrays[f"lengths_{player}"] = np.array([len(marginal) for marginal in marginals])
        arrays[f"marginals_{player}"] = np.concatenate(marginals)
    for row, strategy in enumerate(record.meta_strategies):
        if isinstance(strategy, JointStrategy):
            arrays[f"joint_profiles_{row}"] = strategy.profiles
            arrays[f"joint_probabilities_{row}"] = strategy.probabilities
    return arrays


def _split_strategies(arrays: dict[str, np.ndarray], rows: int, players: int) -> list[MetaStrategy]:
    marginals = [
        np.split(arrays[f"marginals_{p}"], np.cumsum(arrays[f"lengths_{p}"])[:-1]) for p in range(players)
    ]
    strategies: list[MetaStrategy] = []
    for row in range(rows):
        if f"joint_profiles_{row}" in arrays:
            joint = (arrays[f"joint_profiles_{row}"], arrays[f"joint_probabilities_{row}"])
            strategies.append(JointStrategy(*joint))
        else:
            strategies.append(ProductStrategy(tuple(own[row] for own in marginals)))
    return strategies


def policy_path(directory: Path, player: int, index: int) -> Path:
    """Returns the file of a player's policy."""
    return directory / "policies" / f"player_{player}_{index:05d}.npz"


def _manifests(directory: Path) -> list[Path]:
    """Returns all manifests, the newest first."""
    return sorted(directory.glob("state_*.json"), key=lambda path: (len(path.name), path.name), reverse=True)


def pack(arrays: dict[str, np.ndarray]) -> bytes:
    """Returns arrays by name, compressed; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def unpack(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays that `pack` wrote; never unpickles.

    Raises:
      ValueError: the file holds objects, which would have to be unpickled.
      BadZipFile: the file is not such an archive.
    """
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _canonical(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest, sort_keys=True).encode()

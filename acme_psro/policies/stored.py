"""Policies as files of arrays and JSON.

A *stored policy* is one player's policy of one game as one compressed `.npz` file: JSON about it, arrays, and
a digest of both. Reading one never unpickles and runs no code of the file's. What a kind of policy means is
known to its *decoder*, see `acme_psro.policies.decoders`. Populations of stored policies hold `PolicyFile`s;
a file is written before its policy is played, and never changed.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from acme_psro.system import archives
from acme_psro.system.files import write_atomically

_VERSION = 1
_HEADER, _PREFIX = "about", "arrays/"


class StoredPolicyError(ValueError):
    """A stored policy that cannot be used; the message is one line for the user."""


class StoredPolicy(NamedTuple):
    """One player's policy, as data.

    Attributes:
      about: JSON. Always "kind" (of policy; its decoder's name), "game" (the game's name, see
        `acme_psro.games.identity`) and "player"; further keys belong to the kind.
      arrays: arrays by name, of bools, integers or floats.
    """

    about: dict[str, Any]
    arrays: dict[str, np.ndarray]


def write(path: Path, policy: StoredPolicy) -> None:
    """Writes a policy to a file, whole or not at all.

    Raises:
      StoredPolicyError: see `pack`.
    """
    write_atomically(path, pack(policy))


def pack(policy: StoredPolicy) -> bytes:
    """Returns the content of a policy's file; equal policies give equal bytes.

    Raises:
      StoredPolicyError: it lacks an entry that every policy must have, or has arrays of other types.
    """
    _check(policy)
    header = {"version": _VERSION, "about": policy.about, "sha256": digest(policy)}
    text = json.dumps(header, sort_keys=True, allow_nan=False).encode()
    arrays: dict[str, Any] = {_HEADER: np.frombuffer(text, np.uint8)}
    arrays |= {_PREFIX + name: np.asarray(policy.arrays[name]) for name in sorted(policy.arrays)}
    return archives.pack(arrays)


def read(path: Path) -> StoredPolicy:
    """Reads a policy from a file.

    Raises:
      StoredPolicyError: there is no such file, it was truncated or altered, or another version wrote it.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise StoredPolicyError(f"{path} cannot be read: {error.strerror}.") from None
    return parse(content, str(path))


def parse(content: bytes, what: str) -> StoredPolicy:
    """Returns the policy that the content of a file, called `what` in messages, describes.

    Raises:
      StoredPolicyError: it was truncated or altered, or another version wrote it.
    """
    try:
        header, arrays = _unpack(content)
        policy = StoredPolicy(header["about"], arrays)
        version, intact = header["version"], header["sha256"] == digest(policy)
    # Whatever can be wrong with a file: zipfile, zlib and NumPy raise what their parts do.
    except Exception:
        version, intact = _VERSION, False
    if version != _VERSION:
        raise StoredPolicyError(f"{what} has version {version}; this program reads {_VERSION}.")
    if not intact:
        raise StoredPolicyError(f"{what} is no stored policy, or was truncated or altered: make it again.")
    _check(policy)
    return policy


def _unpack(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns the header and the arrays of a file's content.

    Raises:
      Exception: of any type, if the content is damaged.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # Before any array is made: an altered shape could ask for all the memory.
        if archive.testzip() is not None:
            raise ValueError("altered")
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        members = dict(stored)
    header = json.loads(members.pop(_HEADER).tobytes())
    return header, {name.removeprefix(_PREFIX): array for name, array in members.items()}


def digest(policy: StoredPolicy) -> str:
    """Returns the SHA-256 digest of a policy's description and arrays, in hexadecimal digits."""
    return archives.digest(policy.about, policy.arrays)


def _check(policy: StoredPolicy) -> None:
    about = policy.about
    for name, kind in (("kind", str), ("game", str), ("player", int)):
        # Not isinstance, for which True would be a player's number.
        if type(about.get(name)) is not kind:
            raise StoredPolicyError(f"a stored policy must name its {name}, not {about.get(name)!r}.")
    for name, array in policy.arrays.items():
        if np.asarray(array).dtype.kind not in "biuf":
            raise StoredPolicyError(
                f"array {name} of a stored policy holds {np.asarray(array).dtype}: give bools or numbers."
            )


def check_fits(policy: StoredPolicy, game: str, player: int, what: str) -> None:
    """Checks that a policy, called `what` in messages, belongs to the player and the game (a `str`).

    Raises:
      StoredPolicyError: it is not.
    """
    if policy.about["game"] != game:
        raise StoredPolicyError(f"{what} plays {policy.about['game']}, not {game}: do not mix games.")
    if policy.about["player"] != player:
        raise StoredPolicyError(f"{what} is of player {policy.about['player']}: it cannot play for {player}.")


class PolicyFile(NamedTuple):
    """One player's policy in a population of stored policies.

    Attributes:
      path: the file of a stored policy.
    """

    path: Path


def write_file(path: Path, policy: StoredPolicy) -> PolicyFile:
    """Writes a policy that joins a population, making the directory.

    Raises:
      StoredPolicyError: it lacks an entry that every policy must have.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, policy)
    return PolicyFile(path)


def check_file(path: Path, game: str, player: int) -> PolicyFile:
    """Returns a policy that was written earlier, after checking its file.

    Args:
      path: the file.
      game: the game's name, see `acme_psro.games.identity`.
      player: the player whose policy it must be.

    Raises:
      StoredPolicyError: the file is not a whole policy of that game and player.
    """
    check_fits(read(path), game, player, str(path))
    return PolicyFile(path)

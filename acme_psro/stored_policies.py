"""Policies as files of arrays and JSON, and what makes policies of them again.

A *stored policy* is one player's policy of one game as one compressed `.npz` file: JSON about it, arrays, and
a digest of both. Reading one never unpickles and runs no code of the file's. What a kind of policy means is
known to its *decoder*; those of "uniform" and "table" stand here.

Dimensions: `n` states, `I_p` information states of player p, `A` actions.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyspiel

from acme_psro.games import batched
from acme_psro.games.batched import BatchPolicy
from acme_psro.games.loading import load_game
from acme_psro.games.tree import GameTree
from acme_psro.population import Policy
from acme_psro.system.files import write_atomically

_VERSION = 1
_HEADER, _PREFIX = "about", "arrays/"
_TOLERANCE = 1e-6
# Keys may hold any text; a message is one line.
_MOST_WORDS = 100


class StoredPolicyError(ValueError):
    """A stored policy that cannot be used; the message is one line for the user."""


class StoredPolicy(NamedTuple):
    """One player's policy, as data.

    Attributes:
      about: JSON. Always "kind" (of policy; its decoder's name), "game" (`str` of OpenSpiel's, turn-based)
        and "player"; further keys belong to the kind.
      arrays: by name; bools, integers and floats.
    """

    about: dict[str, Any]
    arrays: dict[str, np.ndarray]


# Makes the policy that a stored one describes; raises a StoredPolicyError where it cannot.
Decoder = Callable[[StoredPolicy], BatchPolicy]


def write(path: Path, policy: StoredPolicy) -> None:
    """Writes a policy to a file, whole or not at all; equal policies give equal bytes.

    Raises:
      StoredPolicyError: it lacks what every policy must say of itself, or has arrays of other things.
    """
    _check(policy)
    header = {"version": _VERSION, "about": policy.about, "sha256": _digest(policy)}
    text = json.dumps(header, sort_keys=True, allow_nan=False).encode()
    arrays: dict[str, Any] = {_HEADER: np.frombuffer(text, np.uint8)}
    arrays |= {_PREFIX + name: np.asarray(policy.arrays[name]) for name in sorted(policy.arrays)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def read(path: Path) -> StoredPolicy:
    """Reads a policy from a file.

    Raises:
      StoredPolicyError: there is no such file, it was truncated or altered, or another version wrote it.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise StoredPolicyError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        header, arrays = _unpack(content)
        policy = StoredPolicy(header["about"], arrays)
        version, intact = header["version"], header["sha256"] == _digest(policy)
    # Whatever can be wrong with a file: zipfile, zlib and NumPy raise what their parts do.
    except Exception:
        version, intact = _VERSION, False
    if version != _VERSION:
        raise StoredPolicyError(f"{path} has version {version}; this program reads {_VERSION}.")
    if not intact:
        raise StoredPolicyError(f"{path} is no stored policy, or was truncated or altered: make it again.")
    _check(policy)
    return policy


def _unpack(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays, as far as they can be read.

    Raises:
      Exception: of whatever kind.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # Before any array is made: an altered shape could ask for all the memory.
        if archive.testzip() is not None:
            raise ValueError("altered")
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        members = dict(stored)
    header = json.loads(members.pop(_HEADER).tobytes())
    return header, {name.removeprefix(_PREFIX): array for name, array in members.items()}


def _digest(policy: StoredPolicy) -> str:
    digest = hashlib.sha256(json.dumps(policy.about, sort_keys=True).encode())
    for name in sorted(policy.arrays):
        array = np.asarray(policy.arrays[name])
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _check(policy: StoredPolicy) -> None:
    about = policy.about
    for name, kind in (("kind", str), ("game", str), ("player", int)):
        if type(about.get(name)) is not kind:
            raise StoredPolicyError(f"a stored policy must name its {name}, not {about.get(name)!r}.")
    for name, array in policy.arrays.items():
        if np.asarray(array).dtype.kind not in "biuf":
            raise StoredPolicyError(
                f"array {name} of a stored policy holds {np.asarray(array).dtype}: give bools or numbers."
            )


def check_fits(policy: StoredPolicy, game: str, player: int, what: str) -> None:
    """Checks that a policy, named `what`, is the player's and of the game (`str` of OpenSpiel's).

    Raises:
      StoredPolicyError: it is not.
    """
    if policy.about["game"] != game:
        raise StoredPolicyError(f"{what} plays {policy.about['game']}, not {game}: do not mix games.")
    if policy.about["player"] != player:
        raise StoredPolicyError(f"{what} is of player {policy.about['player']}: it cannot play for {player}.")


def decode(policy: StoredPolicy, decoders: Mapping[str, Decoder]) -> BatchPolicy:
    """The policy, by the decoder of its kind.

    Raises:
      StoredPolicyError: no decoder for its kind, or the decoder refuses it.
    """
    kind = policy.about["kind"]
    if kind not in decoders:
        raise StoredPolicyError(f"no decoder for policies of kind {kind!r}; there are {', '.join(decoders)}.")
    return decoders[kind](policy)


def uniform(game: pyspiel.Game, player: int) -> StoredPolicy:
    """The policy that plays every legal action alike."""
    return StoredPolicy({"kind": "uniform", "game": str(game), "player": player}, {})


def decode_uniform(policy: StoredPolicy) -> BatchPolicy:
    """The decoder of kind "uniform"."""
    return batched.uniform(policy.about["game"])


def from_tree_policy(tree: GameTree, player: int, policy: Policy) -> StoredPolicy:
    """A policy of kind "table" from one on a compiled game."""
    texts = [key.encode() for key in tree.keys[tree.infosets_of(player)]]
    arrays: dict[str, np.ndarray] = {
        "keys": np.frombuffer(b"".join(texts), np.uint8),
        "offsets": np.cumsum([0, *map(len, texts)], dtype=np.int64),
        "table": np.asarray(policy.table, np.float64),
    }
    return StoredPolicy({"kind": "table", "game": tree.game_string, "player": player}, arrays)


def table_of(policy: StoredPolicy) -> tuple[dict[str, int], np.ndarray]:
    """Of a policy of kind "table", the row of each information state string, and the rows `[I_p, A]`.

    Raises:
      StoredPolicyError: its arrays are none of a table.
    """
    try:
        text, offsets = policy.arrays["keys"].tobytes(), policy.arrays["offsets"].tolist()
        table = np.asarray(policy.arrays["table"], np.float64)
        keys = [text[start:stop].decode() for start, stop in itertools.pairwise(offsets)]
        rows = {key: row for row, key in enumerate(keys)}
        sums = table.sum(axis=1)
        good = len(rows) == len(keys) == len(table) and (table >= 0).all()
    except (KeyError, TypeError, ValueError):
        good = False
    # Written so that NaN is caught.
    if not good or not (np.abs(sums - 1) <= _TOLERANCE).all():
        raise StoredPolicyError(
            f"player {policy.about['player']}'s table needs a key for each row and rows that are "
            "distributions: make it again."
        )
    return rows, table


def decode_table(policy: StoredPolicy) -> BatchPolicy:
    """The decoder of kind "table".

    The policy raises a StoredPolicyError at a state that the table does not have.

    Raises:
      StoredPolicyError: the arrays are none of a table, or the game does not name its information states.
    """
    rows, table = table_of(policy)
    game = policy.about["game"]
    if not load_game(game).get_type().provides_information_state_string:
        raise StoredPolicyError(f"{game} does not name its information states: a table cannot play it.")

    def play(states: Sequence[pyspiel.State], player: int) -> np.ndarray:
        try:
            return table[[rows[state.information_state_string(player)] for state in states]]
        except KeyError as error:
            unknown = repr(error.args[0])[:_MOST_WORDS]
            raise StoredPolicyError(
                f"player {player}'s table, of {game}, does not have the information state {unknown}: it is "
                "of another game or another player."
            ) from None

    return play


DECODERS: dict[str, Decoder] = {"uniform": decode_uniform, "table": decode_table}

"""Members of the program that do not change any more: what is kept of them, and where.

A member that is fixed is a snapshot of the whole network with the row by which it learned, as a stored
policy:

    frozen/player_P_KKKKK_DIGEST.npz   a fixed member, or the best one so far of the frontier's

A file's name holds the first digits of its policy's digest, and no file is ever written anew with other
content. So graphs, populations and checkpoints of any epoch can name their members by name.

Dimensions: `P` = 2 players, `N` members.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from acme_psro.neupl import freezing
from acme_psro.neupl.freezing import Progress
from acme_psro.policies import decoders, stored
from acme_psro.policies.stored import PolicyFile, StoredPolicy, StoredPolicyError

if TYPE_CHECKING:
    from acme_psro.games.batch_policies import BatchPolicy

# (player, index) -> the name of a member's file.
Names = Mapping[tuple[int, int], str]

_FOLDER = "frozen"
_DIGITS = 16


class Served(NamedTuple):
    """The graph that new games use.

    Attributes:
      epoch: the number of graphs before it.
      graph: `[P, N, N]`.
      fixed: the names of the fixed members' files; none without freezing.
    """

    epoch: int
    graph: np.ndarray
    fixed: Names


@dataclasses.dataclass(frozen=True, eq=False)
class Frozen:
    """Progress of freezing in the program.

    Attributes:
      epoch: the last epoch whose members were judged.
      progress: the frontier. Its gains are returns by games, in utility units.
      names: files of fixed members, and of the best members so far of the frontier.
      rows: `[P, N, N]`, the rows by which they learned; 0 for others.
    """

    epoch: int
    progress: Progress
    names: Names
    rows: np.ndarray

    @property
    def fixed(self) -> Names:
        """The names of the fixed members' files, the sinks left out."""
        mask = self.progress.mask(self.rows.shape[-1])
        return {member: name for member, name in self.names.items() if mask[member]}

    def files(self, directory: Path) -> dict[tuple[int, int], PolicyFile]:
        """Returns the files of the fixed members in a program's directory."""
        return {member: PolicyFile(place(directory, name)) for member, name in self.fixed.items()}

    def keep_rows(self, graph: np.ndarray) -> np.ndarray:
        """Returns a graph `[P, N, N]` in which fixed members have the rows by which they learned."""
        kept = graph.copy()
        for member in self.fixed:
            kept[member] = self.rows[member]
        return kept


def start(num: int) -> Frozen:
    """Returns the state in which the sinks alone are fixed."""
    return Frozen(0, freezing.reach(1), {}, np.zeros((2, num, num)))


def place(directory: Path, name: str) -> Path:
    """Returns the place of a member's file in a program's directory."""
    return directory / _FOLDER / name


def write(directory: Path, index: int, policy: StoredPolicy) -> str:
    """Writes a member with this index, and returns its file's name."""
    player, digits = policy.about["player"], stored.digest(policy)[:_DIGITS]
    name = f"player_{player}_{index:05d}_{digits}.npz"
    stored.write_file(place(directory, name), policy)
    return name


def read(file: PolicyFile) -> StoredPolicy:
    """Reads a member.

    Raises:
      StoredPolicyError: the file is lost or damaged, or is another policy than its name says.
    """
    policy = stored.read(file.path)
    if not file.path.stem.endswith(stored.digest(policy)[:_DIGITS]):
        raise StoredPolicyError(f"{file.path} is another policy than its name says: restore the file.")
    return policy


class FixedPolicies:
    """Policies of fixed members, each of which is read once.

    Args:
      directory: the program's directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[str, BatchPolicy] = {}

    def __call__(self, names: Names) -> dict[tuple[int, int], BatchPolicy]:
        """Returns the policies of members by the names of their files."""
        for name in names.values():
            if name not in self._known:
                policy = read(PolicyFile(place(self._directory, name)))
                self._known[name] = decoders.decode(policy, decoders.DECODERS)
        return {member: self._known[name] for member, name in names.items()}


def prune(directory: Path, names: Iterable[str]) -> None:
    """Removes the files of all members but those with these names."""
    kept = set(names)
    for path in (directory / _FOLDER).glob("player_*.npz"):
        if path.name not in kept:
            path.unlink()


def to_arrays(frozen: Frozen) -> dict[str, np.ndarray]:
    """Returns the state as arrays by name."""
    members = sorted(frozen.names)
    return freezing.progress_to_arrays(frozen.progress) | {
        "epoch": np.array(frozen.epoch),
        "members": np.array(members, np.int64).reshape(-1, 2),
        "names": np.array([frozen.names[member] for member in members], np.str_),
        "rows": frozen.rows,
    }


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Frozen:
    """Returns the state from `to_arrays`."""
    members = [(int(player), int(index)) for player, index in arrays["members"]]
    names = dict(zip(members, map(str, arrays["names"]), strict=True))
    return Frozen(int(arrays["epoch"]), freezing.progress_from_arrays(arrays), names, arrays["rows"])

"""Freezing from below: members stop changing one after the other, each at its best.

If all members of a network learn at the same time for ever, those above chase a target that moves, and what
was reached may be lost again. With freezing the first members that still change are the frontier: their
mixtures consist of fixed members, so that it makes sense to keep their best policies. When they stop gaining,
they are fixed too, and the next members become the frontier.

Dimensions: `P` = 2 players, `N` members, `K` kinds of candidates, `I_p` information states of player p, `A`
actions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from acme_psro.neupl.values import Values

# A value that grows by less than this share of what there is to gain counts as no progress.
_PROGRESS = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class Progress:
    """Progress of freezing: the frontier and what it has gained, without its policies.

    Attributes:
      frontier: the first member that is not fixed for both players.
      is_fixed: `[P]` bool, True for a player whose member of the frontier is fixed already.
      best: `[P]`, the frontier's best gains so far.
      idle: `[P]`, the epochs since they grew.
    """

    frontier: int
    is_fixed: np.ndarray
    best: np.ndarray
    idle: np.ndarray

    def mask(self, num: int) -> np.ndarray:
        """Returns `[P, N]` bool, True for fixed members."""
        mask = np.tile(np.arange(num) < self.frontier, (2, 1))
        if self.frontier < num:
            mask[:, self.frontier] = self.is_fixed
        return mask


@dataclasses.dataclass(frozen=True, eq=False)
class Freezing:
    """Freezing in a compiled game, whose policies are tables.

    Attributes:
      progress: the frontier, whose gains are shares of an exact response's gain.
      tables: one `[N, I_p, A]` a player, the policies of fixed members, and the best ones so far of the
        frontier's; 0 for others.
    """

    progress: Progress
    tables: tuple[np.ndarray, ...]

    @property
    def frontier(self) -> int:
        """The first member that is not fixed for both players."""
        return self.progress.frontier

    def mask(self, num: int) -> np.ndarray:
        """Returns `[P, N]` bool, True for fixed members."""
        return self.progress.mask(num)


def reach(frontier: int) -> Progress:
    """Returns the progress when a frontier has just been reached."""
    return Progress(frontier, np.zeros(2, bool), np.full(2, -np.inf), np.zeros(2, int))


def judge(
    progress: Progress, gains: np.ndarray, least: np.ndarray | float, patience: int, enough: float = np.inf
) -> tuple[Progress, np.ndarray]:
    """Judges the candidates of the frontier.

    Args:
      progress: what is known before.
      gains: `[K, P]`, of each kind of candidate. Those of players whose member is fixed have no effect.
      least: a gain that has not grown by more than this, or `[P]`, is no progress.
      patience: epochs without progress after which a member is fixed.
      enough: a member with this gain is fixed at once.

    Returns:
      The progress after it, and `[P]` int, the kind of candidate that is better than all before; -1 if none
      is.
    """
    best, idle, is_fixed = progress.best.copy(), progress.idle.copy(), progress.is_fixed.copy()
    least = np.broadcast_to(least, 2)
    kinds = np.full(2, -1)
    for player in np.flatnonzero(~is_fixed):
        kind = int(np.argmax(gains[:, player]))
        gain = gains[kind, player]
        idle[player] = 0 if gain > best[player] + least[player] else idle[player] + 1
        if gain > best[player]:
            best[player], kinds[player] = gain, kind
        is_fixed[player] = best[player] >= enough or idle[player] >= patience
    if is_fixed.all():
        return reach(progress.frontier + 1), kinds
    return Progress(progress.frontier, is_fixed, best, idle), kinds


def start(sinks: Sequence[np.ndarray], num: int) -> Freezing:
    """Returns the state in which the sinks `[I_p, A]` alone are fixed."""
    tables = []
    for sink in sinks:
        table = np.zeros((num, *sink.shape))
        table[0] = sink
        tables.append(table)
    return Freezing(reach(1), tuple(tables))


def advance(
    freezing: Freezing,
    values: Sequence[Values],
    candidates: Sequence[Sequence[np.ndarray]],
    patience: int,
    enough: float,
) -> Freezing:
    """Returns the state after an epoch.

    Args:
      freezing: the state before it.
      values: of all members, one for each kind of candidate.
      candidates: policies `[N, I_p, A]` of both players, for each kind of candidate.
      patience: epochs without progress after which a member is fixed.
      enough: a member with this share of what there is to gain is fixed at once.
    """
    at = freezing.frontier
    num = len(freezing.tables[0])
    if at >= num:
        return freezing
    gains = np.stack([value.relative_gain[:, at] for value in values])
    progress, kinds = judge(freezing.progress, gains, _PROGRESS, patience, enough)
    tables = tuple(table.copy() for table in freezing.tables)
    for player in np.flatnonzero(kinds >= 0):
        tables[player][at] = candidates[kinds[player]][player][at]
    return Freezing(progress, tables)


def progress_to_arrays(progress: Progress) -> dict[str, np.ndarray]:
    """Returns the progress as arrays by name."""
    return {
        "frontier": np.array(progress.frontier),
        "is_fixed": progress.is_fixed,
        "best": progress.best,
        "idle": progress.idle,
    }


def progress_from_arrays(arrays: Mapping[str, np.ndarray]) -> Progress:
    """Returns the progress from `progress_to_arrays`; other arrays are ignored."""
    return Progress(int(arrays["frontier"]), arrays["is_fixed"], arrays["best"], arrays["idle"])


def to_arrays(freezing: Freezing) -> dict[str, np.ndarray]:
    """Returns the state as arrays by name."""
    arrays = {f"table_{player}": table for player, table in enumerate(freezing.tables)}
    return arrays | progress_to_arrays(freezing.progress)


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Freezing:
    """Returns the state from `to_arrays`."""
    return Freezing(progress_from_arrays(arrays), (arrays["table_0"], arrays["table_1"]))

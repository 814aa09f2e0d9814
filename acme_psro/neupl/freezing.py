"""Freezing from below: members stop changing one after the other, each at its best.

If all members of a network learn at the same time for ever, those above chase a target that moves, and what
was reached may be lost again. With freezing the first members that still change are the frontier: their
mixtures consist of fixed members, so that it makes sense to keep their best policies. When they stop gaining,
they are fixed too, and the next members become the frontier.

Dimensions: `P` = 2 players, `N` members, `I_p` information states of player p, `A` actions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from acme_psro.neupl.values import Values

# A value that grows by less than this share of what there is to gain counts as no progress.
_PROGRESS = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class Freezing:
    """Progress of freezing.

    Attributes:
      frontier: the first member that is not fixed for both players.
      is_fixed: `[P]` bool, True for a player whose member of the frontier is fixed already.
      tables: one `[N, I_p, A]` a player, the policies of fixed members, and the best ones so far of the
        frontier's; 0 for others.
      best: `[P]`, the frontier's best relative gains so far.
      idle: `[P]`, the epochs since they grew.
    """

    frontier: int
    is_fixed: np.ndarray
    tables: tuple[np.ndarray, ...]
    best: np.ndarray
    idle: np.ndarray

    def mask(self, num: int) -> np.ndarray:
        """Returns `[P, N]` bool, True for fixed members."""
        mask = np.tile(np.arange(num) < self.frontier, (2, 1))
        if self.frontier < num:
            mask[:, self.frontier] = self.is_fixed
        return mask


def start(sinks: Sequence[np.ndarray], num: int) -> Freezing:
    """Returns the state in which the sinks `[I_p, A]` alone are fixed."""
    tables = []
    for sink in sinks:
        table = np.zeros((num, *sink.shape))
        table[0] = sink
        tables.append(table)
    return _at(1, tuple(tables))


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
    tables = tuple(table.copy() for table in freezing.tables)
    best, idle, is_fixed = freezing.best.copy(), freezing.idle.copy(), freezing.is_fixed.copy()
    for player in np.flatnonzero(~is_fixed):
        gains = [value.relative_gain[player, at] for value in values]
        kind = int(np.argmax(gains))
        progress = gains[kind] > best[player] + _PROGRESS
        if gains[kind] > best[player]:
            best[player] = gains[kind]
            tables[player][at] = candidates[kind][player][at]
        idle[player] = 0 if progress else idle[player] + 1
        is_fixed[player] = best[player] >= enough or idle[player] >= patience
    if is_fixed.all():
        return _at(at + 1, tables)
    return Freezing(at, is_fixed, tables, best, idle)


def to_arrays(freezing: Freezing) -> dict[str, np.ndarray]:
    """Returns the state as arrays by name."""
    arrays = {f"table_{player}": table for player, table in enumerate(freezing.tables)}
    return arrays | {
        "frontier": np.array(freezing.frontier),
        "is_fixed": freezing.is_fixed,
        "best": freezing.best,
        "idle": freezing.idle,
    }


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Freezing:
    """Returns the state from `to_arrays`."""
    return Freezing(
        int(arrays["frontier"]),
        arrays["is_fixed"],
        (arrays["table_0"], arrays["table_1"]),
        arrays["best"],
        arrays["idle"],
    )


def _at(frontier: int, tables: tuple[np.ndarray, ...]) -> Freezing:
    """Returns the state in which a frontier has just been reached."""
    return Freezing(frontier, np.zeros(2, bool), tables, np.full(2, -np.inf), np.zeros(2, int))

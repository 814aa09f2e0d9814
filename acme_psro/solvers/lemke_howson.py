"""Lemke-Howson paths in bimatrix games, with lexicographic pivots, which cannot cycle in degenerate games.

Labels `0 .. m-1` are the row player's policies, labels `m .. m+n-1` the column player's. A path begins at the
artificial equilibrium, in which nobody plays anything, drops one label, and pivots until the label returns.
Each player's polytope has one tableau (Lemke & Howson 1964; von Stengel 2002, Handbook of Game Theory 3,
section 2).

Paths are followed in floating point, or in whole numbers, which is slow and makes no errors at all.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

# Entries of a tableau below this count as zero, and ratios this close count as equal.
_ZERO = 1e-11
# A payoff of 1 in whole numbers: a double has no more digits.
_WHOLE = 2**52


class Path(NamedTuple):
    """The end of a path.

    Attributes:
      strategies: the players' strategies, `[m]` and `[n]`; None if the path did not end within its pivots, or
        rounding errors led it astray.
      pivots: the number of pivots.
    """

    strategies: tuple[np.ndarray, np.ndarray] | None
    pivots: int


class _Tableau:
    """Dictionary of one polytope: `[k, labels + 1]`, right-hand side last, a basic label for each row.

    Args:
      payoffs: `[k, l]`, positive: what the owner of the k slack variables earns against the l strategies.
      slack: labels of the slack variables.
      strategy: labels of the strategies.
    """

    def __init__(self, payoffs: np.ndarray, slack: range, strategy: range) -> None:
        size = len(slack)
        table = np.zeros((size, size + len(strategy) + 1), payoffs.dtype)
        one = payoffs.dtype.type(1) if payoffs.dtype != object else 1
        table[:, slack] = np.eye(size, dtype=int)
        table[:, strategy] = payoffs
        table[:, -1] = one
        self.table, self.basis, self.slack, self.strategy = table, list(slack), slack, strategy
        self._scale = one
        self._is_exact = payoffs.dtype == object

    def enter(self, label: int) -> int | None:
        """Brings a label into the basis and returns the one that leaves; None if none can."""
        row = self._leaving_row(label)
        if row is None:
            return None
        left, self.basis[row] = self.basis[row], label
        table = self.table
        pivot = table[row, label]
        if self._is_exact:
            # Bareiss: every entry is a determinant of payoffs, so that the division leaves no remainder.
            others = np.arange(len(table)) != row
            table[others] = (
                table[others] * pivot - np.multiply.outer(table[others, label], table[row])
            ) // self._scale
            self._scale = pivot
            return left
        table[row] /= pivot
        column = table[:, label].copy()
        column[row] = 0.0
        table -= np.multiply.outer(column, table[row])
        return left

    def _leaving_row(self, label: int) -> int | None:
        """Returns the row with the lexicographically smallest ratio of (right-hand side, slack columns)."""
        column = self.table[:, label]
        rows = [int(row) for row in np.flatnonzero(column > (0 if self._is_exact else _ZERO))]
        for compared in (-1, *self.slack):
            if len(rows) <= 1:
                break
            if self._is_exact:
                exact = [Fraction(self.table[row, compared], column[row]) for row in rows]
                rows = [row for row, ratio in zip(rows, exact, strict=True) if ratio == min(exact)]
                continue
            ratios = self.table[rows, compared] / column[rows]
            rows = [rows[index] for index in np.flatnonzero(ratios <= ratios.min() + _ZERO)]
        return rows[0] if rows else None

    def strategy_weights(self, payoffs: np.ndarray) -> np.ndarray | None:
        """Returns the strategy `[l]` of the present basis, anew from the payoffs; None if it is not one."""
        weights = np.zeros(len(self.strategy), payoffs.dtype)
        if self._is_exact:
            for row, label in enumerate(self.basis):
                if label in self.strategy:
                    weights[label - self.strategy.start] = self.table[row, -1]
            total = sum(weights)
            return np.array([float(Fraction(weight, total)) for weight in weights]) if total else None
        played = [label - self.strategy.start for label in self.basis if label in self.strategy]
        tight = [index for index, label in enumerate(self.slack) if label not in self.basis]
        if not played or len(played) != len(tight):
            return None
        try:
            weights[played] = np.linalg.solve(payoffs[np.ix_(tight, played)], np.ones(len(played)))
        except np.linalg.LinAlgError:
            return None
        # In a degenerate game some of these are zero, up to rounding.
        weights = np.maximum(weights, 0.0)
        total = weights.sum()
        return weights / total if np.isfinite(total) and total > 0.0 else None


def follow(unit: np.ndarray, label: int, max_pivots: int, exact: bool = False) -> Path:
    """Returns the end of the path that drops a label.

    Args:
      unit: `[2, m, n]`, payoffs in [0, 1].
      label: the label to drop, in `0 .. m+n-1`.
      max_pivots: the most pivots.
      exact: True for whole numbers: payoffs are rounded to multiples of 2^-52 first.
    """
    # All payoffs must be positive. Rows: best replies of the row player to the column player's strategy.
    rows, columns = 1.0 + unit[0], 1.0 + unit[1].T
    if exact:
        rows, columns = (
            np.array([[round(entry * _WHOLE) for entry in line] for line in table.tolist()], object)
            for table in (rows, columns)
        )
    size, total = len(rows), sum(rows.shape)
    row_labels, column_labels = range(size), range(size, total)
    # The first tableau holds the row player's strategies, the second one the column player's.
    tableaux = (_Tableau(columns, column_labels, row_labels), _Tableau(rows, row_labels, column_labels))
    entering, side = label, 0 if label < size else 1
    for pivots in range(1, max_pivots + 1):
        left = tableaux[side].enter(entering)
        if left is None:
            return Path(None, pivots)
        if left == label:
            first = tableaux[0].strategy_weights(columns)
            second = tableaux[1].strategy_weights(rows)
            found = None if first is None or second is None else (first, second)
            return Path(found, pivots)
        # A label that leaves one tableau enters the other one, where its complement has the same label.
        entering, side = left, 1 - side
    return Path(None, max_pivots)

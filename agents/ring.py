"""Replay in the memory of one process: a ring buffer of arrays."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


class Ring:
    """A ring buffer of the newest items, sampled uniformly with replacement.

    An item is a tree of arrays. All items must have the same structure, shapes and types.

    Args:
      max_size: number of items to keep. The operating system assigns memory only as items are added.
      seed: seed of the sampling.

    Raises:
      ValueError: there is no room for an item.
    """

    def __init__(self, max_size: int, seed: int) -> None:
        if max_size < 1:
            raise ValueError(f"a replay must have room for 1 item at least, not {max_size}.")
        self._max_size = max_size
        self._rng = np.random.default_rng(seed)
        self._columns: Any = None
        self._added = 0

    def __len__(self) -> int:
        return min(self._added, self._max_size)

    def add(self, item: Any) -> None:
        """Stores one item and overwrites the oldest one if the replay is full.

        Args:
          item: a tree of arrays without an axis of items.
        """
        if self._columns is None:
            self._columns = jax.tree.map(self._allocate, item)
        # A ring: once the array is full, this is the row of the oldest item.
        row = self._added % self._max_size
        for column, value in zip(jax.tree.leaves(self._columns), jax.tree.leaves(item), strict=True):
            column[row] = value
        self._added += 1

    def add_all(self, items: Any) -> None:
        """Stores several items, the first one first, as `add` does one.

        Args:
          items: a tree of arrays `[n, ..]`.
        """
        number = len(jax.tree.leaves(items)[0])
        if not number:
            return
        if self._columns is None:
            self._columns = jax.tree.map(lambda values: self._allocate(values[0]), items)
        # Of more items than there is room for, the first ones would be overwritten at once.
        skipped = max(0, number - self._max_size)
        rows = np.arange(self._added + skipped, self._added + number) % self._max_size
        for column, values in zip(jax.tree.leaves(self._columns), jax.tree.leaves(items), strict=True):
            column[rows] = values[skipped:]
        self._added += number

    def sample(self, size: int) -> Any:
        """Returns `size` random items as one tree of arrays `[size, ..]`.

        The arrays are copies, which later calls of `add` do not change.

        Raises:
          ValueError: nothing was added yet.
        """
        if not self._added:
            raise ValueError("an empty replay has nothing to draw: add transitions first.")
        rows = self._rng.integers(len(self), size=size)
        return jax.tree.map(lambda column: column[rows], self._columns)

    def _allocate(self, value: Any) -> np.ndarray:
        value = np.asarray(value)
        # Uninitialised pages take no memory until the first item is written to them.
        return np.empty((self._max_size, *value.shape), value.dtype)

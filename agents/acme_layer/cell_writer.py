"""A Reverb writer of flat rows, for adders that write the experience of many games.

Reverb's own writer takes rows as trees of names. Flat rows avoid most of its cost per step, at the price of
relying on the C++ writer under it, which is not part of Reverb's public interface.
"""

from __future__ import annotations

import contextlib
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import reverb
from reverb import pybind

# The time for which Acme, too, waits for a server that has not started yet.
_START_MILLISECONDS = 300_000
# A thread can be stopped only between two waits, because the exception waits for the C++ code to return.
_WAIT_MILLISECONDS = 500
_CLOSE_MILLISECONDS = 2000

# Reference to a number or array in the writer's buffers; Reverb's `WeakCellRef`.
Cell = Any


class CellWriter:
    """A writer of rows of cells, and of items that refer to any of the newest cells of each column.

    Args:
      client: client of the Reverb server. The writer waits until the server has started.
      table: name of the table that receives the items.
      columns: number of cells in a row. Cells of a row may be missing.
      keep: number of the newest cells in each column to which items may refer.
      chunk_length: number of cells of a column that are sent together.
    """

    def __init__(self, client: reverb.Client, table: str, columns: int, keep: int, chunk_length: int) -> None:
        self._table = table
        self._writer = client.trajectory_writer(keep, get_signature_timeout_ms=_START_MILLISECONDS)
        # The writer's `append` and `create_item` look up every cell by the path of its name, which takes five
        # times as long as the rest of their work. The C++ writer under them uses flat rows.
        self._flat_writer = self._writer._writer
        chunks = pybind.ConstantChunkerOptions(chunk_length, keep)
        for column in range(columns):
            self._flat_writer.ConfigureChunker(column, chunks)

    def append(self, row: list[Any]) -> list[Cell]:
        """Adds a row of arrays and returns its cells. None stands for a missing cell."""
        return self._flat_writer.Append(row)

    def create(self, columns: list[list[Cell]]) -> None:
        """Writes an item with the given cells of each column.

        All columns have the same number of cells. If it is 1, the item's arrays have no axis of time.
        """
        self._flat_writer.CreateItem(self._table, 1.0, columns, [len(columns[0]) == 1] * len(columns))

    def wait(self, pending: int) -> None:
        """Waits until the table has accepted all items but the newest `pending` ones, or fewer."""
        while True:
            with contextlib.suppress(reverb.DeadlineExceededError):
                return self._writer.flush(pending, timeout_ms=_WAIT_MILLISECONDS)

    def close(self) -> None:
        """Sends the remaining items, unless that takes longer than `_CLOSE_MILLISECONDS`."""
        with contextlib.suppress(reverb.DeadlineExceededError):
            self._writer.flush(0, timeout_ms=_CLOSE_MILLISECONDS)
        self._writer.close()

"""Rows of a run's tables, which TensorBoard shows as well. Nothing of Acme is imported."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acme_psro.display.events import EventWriter
from acme_psro.system.tables import Table

# Shortest time between two rows of a table. Rows in between are dropped, to keep the tables of long runs
# small, except for the last row of a run.
SECONDS_BETWEEN_ROWS = 5.0


class RowWriter:
    """Writer of `LABEL.csv` and of TensorBoard events in `events/LABEL`.

    Args:
      directory: output directory of the run.
      label: name of the table and of the events.
      steps_key: column of the number of steps. It is the first column, and the events' horizontal axis.
    """

    def __init__(self, directory: Path, label: str, steps_key: str) -> None:
        self._path = directory / f"{label}.csv"
        self._table: Table | None = None
        self._events = EventWriter(directory / "events" / label)
        self._steps_key = steps_key

    def write(self, data: Mapping[str, Any]) -> None:
        """Writes a row of numbers by name of the column."""
        row = {name: float(value) for name, value in data.items()}
        # Opened at the first row, because a resumed run may first remove the rows of an existing table.
        if self._table is None:
            self._table = Table(self._path, self._steps_key)
        self._table.write(row)
        self._events.write(int(row.get(self._steps_key, 0)), row, time.time())

    def close(self) -> None:
        """Closes the events. The table is on disk already."""
        self._events.close()

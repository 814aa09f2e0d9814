"""Acme loggers of a run. Each one writes a CSV file and TensorBoard events."""

from __future__ import annotations

import time
from pathlib import Path

import agents.acme_layer.compat  # noqa: F401

# isort: split

from acme.utils import loggers

from acme_psro.display.events import EventWriter
from acme_psro.system.tables import Table

# Shortest time between two rows of a logger. Rows in between are dropped, to keep the tables of long runs
# small.
SECONDS_BETWEEN_ROWS = 5.0


class TableLogger(loggers.Logger):
    """Logger that writes `LABEL.csv` and TensorBoard events in `events/LABEL`.

    Args:
      directory: output directory of the run.
      label: name of the table and of the events.
      steps_key: column of the number of steps. It is the first column, and the events' horizontal axis.
    """

    def __init__(self, directory: Path, label: str, steps_key: str) -> None:
        self._table = Table(directory / f"{label}.csv", steps_key)
        self._events = EventWriter(directory / "events" / label)
        self._steps_key = steps_key

    def write(self, data: loggers.LoggingData) -> None:
        row = {name: float(value) for name, value in data.items()}
        self._table.write(row)
        self._events.write(int(row.get(self._steps_key, 0)), row, time.time())

    def close(self) -> None:
        self._events.close()


class LoggerFactory:
    """Acme's `LoggerFactory` for a run: a function `(label, steps_key, instance) -> logger`.

    Args:
      directory: output directory of the run.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, label: str, steps_key: str = "steps", instance: int = 0) -> loggers.Logger:
        name = f"{label}_{instance}" if instance else label
        return loggers.TimeFilter(TableLogger(self._directory, name, steps_key), SECONDS_BETWEEN_ROWS)

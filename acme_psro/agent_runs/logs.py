"""Acme's loggers of a run: every part writes a CSV file and TensorBoard events of its own."""

from __future__ import annotations

import time
from pathlib import Path

import agents.acme_layer.compat  # noqa: F401

# isort: split

from acme.utils import loggers

from acme_psro.display.events import EventWriter
from acme_psro.system.tables import Table

SECONDS_BETWEEN_ROWS = 5.0


class TableLogger(loggers.Logger):
    """Writes `LABEL.csv` and `events/LABEL`, of steps counted by `steps_key`."""

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
    """Makes the loggers of a run, as Acme's `LoggerFactory`: (label, steps key, instance) -> logger."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, label: str, steps_key: str = "steps", instance: int = 0) -> loggers.Logger:
        name = f"{label}_{instance}" if instance else label
        return loggers.TimeFilter(TableLogger(self._directory, name, steps_key), SECONDS_BETWEEN_ROWS)

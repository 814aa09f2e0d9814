"""Acme loggers of a run. Each one writes a CSV file and TensorBoard events."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import agents.acme_layer.compat  # noqa: F401

# isort: split

from acme.utils import loggers

from acme_psro.agent_runs.rows import SECONDS_BETWEEN_ROWS, RowWriter


class TableLogger(loggers.Logger):
    """Logger that writes rows, see `acme_psro.agent_runs.rows.RowWriter`.

    Args:
      directory: output directory of the run.
      label: name of the table and of the events.
      steps_key: column of the number of steps. It is the first column, and the events' horizontal axis.
    """

    def __init__(self, directory: Path, label: str, steps_key: str) -> None:
        self._rows = RowWriter(directory, label, steps_key)

    def write(self, data: loggers.LoggingData) -> None:
        self._rows.write(data)

    def close(self) -> None:
        self._rows.close()


class ThinnedLogger(loggers.Logger):
    """Logger that drops rows which follow each other too fast, but never the last one.

    It may be closed by another thread than the one that writes. Rows after the end are dropped.

    Args:
      to: logger that gets the rows which are kept.
      seconds: shortest time between two rows, except for the last one.
    """

    def __init__(self, to: loggers.Logger, seconds: float) -> None:
        self._to = to
        self._seconds = seconds
        self._lock = threading.Lock()
        self._written_at: float | None = None
        self._held_back: loggers.LoggingData | None = None
        self._closed = False

    def write(self, data: loggers.LoggingData) -> None:
        with self._lock:
            if self._closed:
                return
            now = time.monotonic()
            if self._written_at is not None and now - self._written_at < self._seconds:
                # A copy, because the caller may use its dictionary again.
                self._held_back = dict(data)
                return
            self._to.write(data)
            self._written_at, self._held_back = now, None

    def close(self) -> None:
        """Writes the row that was held back last, and closes the other logger. May be called repeatedly."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._held_back is not None:
                self._to.write(self._held_back)
            self._to.close()


class LoggerFactory:
    """Acme's `LoggerFactory` for a run: a function `(label, steps_key, instance) -> logger`.

    Args:
      directory: output directory of the run.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: list[loggers.Logger] = []

    def __call__(self, label: str, steps_key: str = "steps", instance: int = 0) -> loggers.Logger:
        name = f"{label}_{instance}" if instance else label
        logger = ThinnedLogger(TableLogger(self._directory, name, steps_key), SECONDS_BETWEEN_ROWS)
        self._made.append(logger)
        return logger

    def close(self) -> None:
        """Closes all loggers that were made, and so writes the last row of each."""
        for logger in self._made:
            logger.close()

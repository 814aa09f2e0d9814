"""Files that a self-play run writes as it goes on: `metrics.csv` and TensorBoard events."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from acme_psro.display.events import EventWriter
from acme_psro.population_runs.recording import hyperparameters
from acme_psro.self_play_runs.work import measure_of
from acme_psro.system.tables import Row, write_csv


class Recorder:
    """Writer of a run's metrics; a context manager that also records how the run ends.

    Args:
      directory: the run's directory.
      config: the run's configuration, as in `config.json`.
      rows: rows of the run so far, if it is resumed. Later ones of a killed process are dropped.
    """

    def __init__(self, directory: Path, config: Mapping[str, Any], rows: Sequence[Row]) -> None:
        self._directory, self._config, self._rows = directory, config, list(rows)
        self._is_finished = False

    def __enter__(self) -> Recorder:
        if self._rows:
            write_csv(self._directory / "metrics.csv", self._rows)
        self._events = EventWriter(self._directory / "events")
        self._events.write_settings(hyperparameters(self._config))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._events.write_end(is_success=self._is_finished)
        self._events.close()

    def add(self, rows: Sequence[Row]) -> None:
        """Writes all rows to `metrics.csv`, and the last one to the events, at its amount of work."""
        write_csv(self._directory / "metrics.csv", rows)
        column = measure_of(self._config).column
        values = {name: value for name, value in rows[-1].items() if name != column}
        self._events.write(int(rows[-1][column]), values, time.time())

    def finish(self) -> None:
        """Records that the run made all its steps."""
        self._is_finished = True

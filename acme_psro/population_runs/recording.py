"""Callbacks that write a run's files: checkpoints, metrics.csv, TensorBoard events and the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic

import numpy as np

from acme_psro.display import png
from acme_psro.display.events import EventWriter, Setting
from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.meta_game.profiles import marginals_of
from acme_psro.neupl.history import read_history
from acme_psro.policies.meta_strategy import (
    BehaviouralStrategy,
    JointStrategy,
    MetaStrategy,
    require_product,
)
from acme_psro.population_runs.base import PopulationRun, count_iterations
from acme_psro.population_runs.callbacks import Callback, StopRun
from acme_psro.population_runs.events import IterationEnded, RunEnded, RunStarted, RunStopped
from acme_psro.storage import checkpoint
from acme_psro.storage.record import Record
from acme_psro.storage.run_config import read_config
from acme_psro.system.nested import flatten
from acme_psro.system.tables import write_csv

# While a run goes on, its report is renewed at most this often, and takes at most this share of the time.
# Runs shorter than this draw theirs once, at the end.
_RENEWAL_SECONDS = 10.0
_RENEWAL_SHARE = 0.02


class CheckpointWriter(Callback, Generic[PolicyT, PayoffsT]):
    """Writes a checkpoint after each iteration, and then removes what it has made unnecessary.

    Args:
      run: the population run.
      directory: the run's directory.
    """

    def __init__(self, run: PopulationRun[PolicyT, PayoffsT], directory: Path) -> None:
        self._run = run
        self._directory = directory / "checkpoints"

    def on_start(self, event: RunStarted) -> None:
        # A process that was killed after writing a record may not have tidied up after it.
        if event.record is not None:
            for iteration in range(1, event.record.state.iteration + 1):
                self._run.tidy(iteration)

    def on_iteration(self, event: IterationEnded) -> None:
        checkpoint.save(self._directory, event.record, self._run.form)
        if event.is_repeated:
            # Removes policies of responses that were trained only to measure a gain. The record is written
            # first: after it, nothing refers to these files any more.
            checkpoint.prune(self._directory, event.record)
        elif event.iteration:
            self._run.tidy(event.iteration)


class MetricsWriter(Callback):
    """Writes `metrics.csv` after each iteration."""

    def on_iteration(self, event: IterationEnded) -> None:
        write_csv(event.run_dir / "metrics.csv", event.record.metrics)


class TensorBoardWriter(Callback):
    """Writes TensorBoard events: metrics, the configuration as text and hyper-parameters, and images.

    Args:
      final_images: returns images by name, as PNG files, that are written at the end of the run.
    """

    _events: EventWriter
    _has_started = False

    def __init__(self, final_images: Callable[[], Mapping[str, bytes]] = dict) -> None:
        self._final_images = final_images

    def on_start(self, event: RunStarted) -> None:
        self._events = EventWriter(event.run_dir / "events")
        self._events.write_settings(hyperparameters(event.config))
        self._has_started = True

    def on_iteration(self, event: IterationEnded) -> None:
        for row in event.changed_rows():
            values = event.new_values(row)
            if row is event.row and not event.is_repeated:
                values |= event.learner_metrics()
            self._events.write(int(row["iteration"]), values, time.time())

    def on_end(self, event: RunEnded) -> None:
        for name, image in self._final_images().items():
            self._events.write_image(name, image, event.record.state.iteration)
        self._events.write_end(is_success=True)
        self._events.close()

    def on_stop(self, event: RunStopped) -> None:
        # A run can fail before this callback is told that it starts.
        if self._has_started:
            self._events.write_end(is_success=False)
            self._events.close()


class ReportWriter(Callback, Generic[PolicyT, PayoffsT]):
    """Writes `report.html`: from time to time while the run goes on, at its end, and when it stops.

    A report that cannot be written does not harm the run.

    Args:
      run: the population run.
      warn: called with one line if the last report cannot be written.
      renewal_seconds: shortest time between two reports of a run that goes on.

    Attributes:
      is_final: True once the report of the finished run is written.
      images: the figures of this report by name, as PNG files.
    """

    is_final: bool = False
    images: Mapping[str, bytes] = MappingProxyType({})

    def __init__(
        self,
        run: PopulationRun[PolicyT, PayoffsT],
        warn: Callable[[str], None],
        renewal_seconds: float = _RENEWAL_SECONDS,
    ) -> None:
        self._run = run
        self._warn = warn
        self._least = self._pause = renewal_seconds
        self._written = time.monotonic()

    def on_iteration(self, event: IterationEnded) -> None:
        began = time.monotonic()
        if began - self._written < self._pause:
            return
        done = count_iterations(event.iteration)
        self._write(
            event.run_dir, event.record, f"Still running: {done} of {self._run.config.iterations} done."
        )
        self._written = time.monotonic()
        self._pause = max(self._least, (self._written - began) / _RENEWAL_SHARE)

    def on_end(self, event: RunEnded) -> None:
        with png.collecting_images() as images:
            reason = self._write(event.run_dir, event.record, event.outcome)
        self.images = images
        self.is_final = reason is None
        if reason is not None:
            self._warn(f"the run is done, but there is no report: {reason}; --resume writes the report.")

    def on_stop(self, event: RunStopped) -> None:
        # Where the run itself found no room, its report would find none either.
        if event.record is None or isinstance(event.error, OSError):
            return
        done = count_iterations(event.record.state.iteration)
        reason = f": {event.error}" if isinstance(event.error, StopRun) and str(event.error) else ""
        outcome = f"Stopped after {done}{reason}; the run can be resumed."
        failure = self._write(event.run_dir, event.record, outcome)
        if failure is not None:
            self._warn(f"there is no report: {failure}.")

    def _write(self, directory: Path, record: Record[PolicyT, PayoffsT], outcome: str) -> str | None:
        """Writes the report and returns None, or returns the reason why it cannot be written."""
        try:
            # Imported here, because drawing needs Matplotlib, whose import takes a second.
            from acme_psro.display.report import write_report

            write_report(
                directory / "report.html",
                config=read_config(directory / "config.json"),
                metrics=record.metrics,
                payoffs=self._run.meta_game.tensor(record.state.payoffs),
                meta_strategies=_marginals(record),
                outcome=outcome,
                history=read_history(record.memory),
            )
        except OSError as error:
            return f"cannot write {error.filename or directory}: {error.strerror or error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None


def _marginals(record: Record[Any, Any]) -> list[tuple[np.ndarray, ...]] | None:
    """Returns the weights of policies in each iteration; None if the mixture is not one of whole policies.

    A joint distribution has the weights of its marginals.
    """
    if isinstance(record.meta_strategies[-1], BehaviouralStrategy):
        return None
    return [_marginals_of(*each) for each in zip(record.meta_strategies, record.metrics, strict=True)]


def _marginals_of(strategy: MetaStrategy, row: Mapping[str, float]) -> tuple[np.ndarray, ...]:
    if isinstance(strategy, JointStrategy):
        sizes = [int(row[f"population_{player}"]) for player in range(strategy.profiles.shape[1])]
        return marginals_of(strategy, sizes).marginals
    return require_product(strategy).marginals


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Setting]:
    """Returns all settings of a configuration by name, nested names joined by dots.

    Values that are neither numbers, truth values nor texts are shown as text.
    """
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in flatten(config).items()
    }

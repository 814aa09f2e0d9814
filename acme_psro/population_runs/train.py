"""The outer loop with all that goes on around it: checkpoints, metrics, events and progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from acme_psro.display.events import EventWriter
from acme_psro.display.progress import Progress, make_progress
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.metrics import Row
from acme_psro.psro import loop
from acme_psro.psro.loop import PSROState
from acme_psro.storage import checkpoint, run_directory
from acme_psro.storage.checkpoint import Record

Show = Callable[[list[Row], list[Row], Row], None]


def train_population(kind: PopulationRun, directory: Path, restored: Record | None) -> Record:
    """Runs PSRO from its beginning or from a record; returns what it has come to.

    Raises:
      Exception: one of the kind's `failures`; what was done until then can be gone on with.
    """
    record = restored or _begin(kind, directory)
    for iteration in range(1, record.state.iteration + 1):
        kind.tidy(iteration)
    with (
        make_progress(kind.config.iterations, sys.stdout) as progress,
        EventWriter(directory / "events") as events,
    ):
        for row in record.metrics:
            progress.update(row)
        show = _shower(progress, events)
        record = _iterate(kind, directory, record, progress, show)
        concluded = kind.conclude(record)
        if concluded is not record:
            run_directory.write_record(directory, concluded, kind.form)
            # Policies of responses that were only to be measured.
            checkpoint.prune(directory / "checkpoints", concluded)
            show(record.metrics, concluded.metrics, {})
    return concluded


def _iterate(kind: PopulationRun, directory: Path, record: Record, progress: Progress, show: Show) -> Record:
    config = kind.config
    run = loop.run(
        record.state,
        config.seed,
        config.iterations,
        oracle=kind.oracle,
        payoffs=kind.fill,
        solve=kind.solve,
        converged=kind.converged,
    )
    began = time.monotonic()
    _start(progress, record, config)
    for state in run:
        extended = _extend(kind, record, state, time.monotonic() - began)
        began = time.monotonic()
        run_directory.write_record(directory, extended, kind.form)
        kind.tidy(state.iteration)
        show(record.metrics, extended.metrics, _learner_metrics(state))
        record = extended
        _start(progress, record, config)
    return record


def _begin(kind: PopulationRun, directory: Path) -> Record:
    record = _extend(kind, None, kind.begin(), 0.0)
    run_directory.write_record(directory, record, kind.form)
    return record


def _extend(kind: PopulationRun, record: Record | None, state: PSROState, seconds: float) -> Record:
    """The record with a row for the state, whose iteration took so many seconds."""
    metrics, strategies = ([], []) if record is None else (record.metrics, record.meta_strategies)
    return Record(state, kind.add_row(metrics, state, seconds), [*strategies, state.meta_strategy])


def _shower(progress: Progress, events: EventWriter) -> Show:
    """What shows the rows that are new or have changed, and figures that go with the newest."""

    def show(before: list[Row], after: list[Row], also: Row) -> None:
        known = {row["iteration"]: row for row in before[-2:]}
        for row in after[-2:]:
            old = known.get(row["iteration"], {})
            # As text, since what is not a number does not equal itself.
            changed = {name: value for name, value in row.items() if repr(value) != repr(old.get(name))}
            if changed:
                events.write(int(row["iteration"]), changed if old else changed | also, time.time())
                progress.update(row)

    return show


def _learner_metrics(state: PSROState) -> Row:
    return {
        f"learner_{player}/{name}": value
        for player, response in enumerate(state.responses)
        for name, value in response.metrics.items()
    }


def _start(progress: Progress, record: Record, config: PSROConfig) -> None:
    following = record.state.iteration + 1
    if following <= config.iterations:
        progress.start_iteration(following, f"training best responses ({config.oracle})")
    else:
        progress.start_iteration(record.state.iteration, "evaluating the last mixture")

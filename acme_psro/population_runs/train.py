"""The outer loop together with its checkpoints, metrics, events and progress display."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from acme_psro.display.events import EventWriter
from acme_psro.display.progress import Progress, make_progress
from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.metrics import Row
from acme_psro.psro import loop
from acme_psro.psro.loop import PSROState
from acme_psro.storage import checkpoint, run_directory
from acme_psro.storage.checkpoint import Record

Show = Callable[[list[Row], list[Row], Row], None]


def train_population(
    run: PopulationRun[PolicyT, PayoffsT],
    directory: Path,
    restored: Record[PolicyT, PayoffsT] | None,
) -> Record[PolicyT, PayoffsT]:
    """Runs PSRO from its beginning or from a record; returns the final record.

    Raises:
      Exception: one of the run's `failures`; the run can be resumed.
    """
    record = restored or _begin(run, directory)
    for iteration in range(1, record.state.iteration + 1):
        run.tidy(iteration)
    with (
        make_progress(run.config.iterations, sys.stdout) as progress,
        EventWriter(directory / "events") as events,
    ):
        for row in record.metrics:
            progress.update(row)
        show = _shower(progress, events)
        record = _iterate(run, directory, record, progress, show)
        concluded = run.conclude(record)
        if concluded is not record:
            run_directory.write_record(directory, concluded, run.form)
            # Policies of responses that were trained only to measure a gain.
            checkpoint.prune(directory / "checkpoints", concluded)
            show(record.metrics, concluded.metrics, {})
    return concluded


def _iterate(
    run: PopulationRun[PolicyT, PayoffsT],
    directory: Path,
    record: Record[PolicyT, PayoffsT],
    progress: Progress,
    show: Show,
) -> Record[PolicyT, PayoffsT]:
    config = run.config
    states = loop.run(
        record.state,
        config.seed,
        config.iterations,
        oracle=run.oracle,
        meta_game=run.meta_game,
        solve=run.solve,
        converged=run.converged,
    )
    began = time.monotonic()
    _start(progress, record, config)
    for state in states:
        extended = _extend(run, record, state, time.monotonic() - began)
        began = time.monotonic()
        run_directory.write_record(directory, extended, run.form)
        run.tidy(state.iteration)
        show(record.metrics, extended.metrics, _learner_metrics(state))
        record = extended
        _start(progress, record, config)
    return record


def _begin(run: PopulationRun[PolicyT, PayoffsT], directory: Path) -> Record[PolicyT, PayoffsT]:
    record = _extend(run, None, loop.initialise(run.meta_game, run.solve), 0.0)
    run_directory.write_record(directory, record, run.form)
    return record


def _extend(
    run: PopulationRun[PolicyT, PayoffsT],
    record: Record[PolicyT, PayoffsT] | None,
    state: PSROState[PolicyT, PayoffsT],
    seconds: float,
) -> Record[PolicyT, PayoffsT]:
    """Returns the record with a row for the state, whose iteration took `seconds`."""
    metrics, strategies = ([], []) if record is None else (record.metrics, record.meta_strategies)
    return Record(state, run.add_row(metrics, state, seconds), [*strategies, state.meta_strategy])


def _shower(progress: Progress, events: EventWriter) -> Show:
    """Returns a function that shows new and changed rows, and further figures of the newest."""

    def show(before: list[Row], after: list[Row], also: Row) -> None:
        known = {row["iteration"]: row for row in before[-2:]}
        for row in after[-2:]:
            old = known.get(row["iteration"], {})
            # Compared as text, because NaN does not equal itself.
            changed = {name: value for name, value in row.items() if repr(value) != repr(old.get(name))}
            if changed:
                events.write(int(row["iteration"]), changed if old else changed | also, time.time())
                progress.update(row)

    return show


def _learner_metrics(state: PSROState[PolicyT, PayoffsT]) -> Row:
    return {
        f"learner_{player}/{name}": value
        for player, response in enumerate(state.responses)
        for name, value in response.metrics.items()
    }


def _start(progress: Progress, record: Record[PolicyT, PayoffsT], config: PSROConfig) -> None:
    following = record.state.iteration + 1
    if following <= config.iterations:
        progress.start_iteration(following, f"training best responses ({config.oracle})")
    else:
        progress.start_iteration(record.state.iteration, "evaluating the last mixture")

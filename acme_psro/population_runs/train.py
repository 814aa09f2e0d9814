"""Training of a population: the outer loop with its checkpoints, metrics, events and progress display."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path

from acme_psro.display.events import EventWriter
from acme_psro.display.progress import Progress, make_progress
from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.metrics import Row, align
from acme_psro.psro import loop
from acme_psro.psro.loop import PSROState
from acme_psro.storage import checkpoint, run_directory
from acme_psro.storage.checkpoint import Record

# (rows shown before, all rows, learners' metrics of the newest row) -> None.
Show = Callable[[list[Row], list[Row], Row], None]


def train_population(
    run: PopulationRun[PolicyT, PayoffsT],
    directory: Path,
    restored: Record[PolicyT, PayoffsT] | None,
) -> Record[PolicyT, PayoffsT]:
    """Runs PSRO from its beginning or from a record, and returns the final record.

    Args:
      run: the population run.
      directory: the run's directory.
      restored: the record from which the run is resumed; None to start a new run.

    Raises:
      Exception: one of the run's `failures`; the run can be resumed.
    """
    record = restored or _begin(run, directory)
    # A process that was killed after writing a record may not have tidied up after it.
    for iteration in range(1, record.state.iteration + 1):
        run.tidy(iteration)
    with (
        make_progress(max(run.config.iterations, record.state.iteration), sys.stdout) as progress,
        EventWriter(directory / "events") as events,
    ):
        for row in record.metrics:
            progress.update(row)
        show = _make_show(progress, events)
        record = _iterate(run, directory, record, progress, show)
        concluded = run.conclude(record)
        if concluded is not record:
            concluded = dataclasses.replace(concluded, metrics=align(concluded.metrics))
            run_directory.write_record(directory, concluded, run.form)
            # Removes policies of responses that were trained only to measure a gain. The record is written
            # first: after it, nothing refers to these files any more.
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
        holds=run.holds,
        is_repeatable=run.is_repeatable,
    )
    began = time.monotonic()
    _show_next_step(progress, record, config)
    for state in states:
        extended = _extend(run, record, state, time.monotonic() - began)
        began = time.monotonic()
        # The record comes first: a process killed in between loses no work, and the next one tidies up.
        run_directory.write_record(directory, extended, run.form)
        run.tidy(state.iteration)
        show(record.metrics, extended.metrics, _learner_metrics(state))
        record = extended
        _show_next_step(progress, record, config)
    return record


def _begin(run: PopulationRun[PolicyT, PayoffsT], directory: Path) -> Record[PolicyT, PayoffsT]:
    """Writes and returns the record of a new run, before its first iteration."""
    record = _extend(run, None, loop.initialise(run.meta_game, run.solve), 0.0)
    run_directory.write_record(directory, record, run.form)
    return record


def _extend(
    run: PopulationRun[PolicyT, PayoffsT],
    record: Record[PolicyT, PayoffsT] | None,
    state: PSROState[PolicyT, PayoffsT],
    seconds: float,
) -> Record[PolicyT, PayoffsT]:
    """Returns the record with the state, its meta-strategy and a row of metrics added.

    Args:
      run: the population run.
      record: the record before the iteration; None before the first iteration.
      state: the state after the iteration.
      seconds: the iteration's duration in seconds.
    """
    metrics, strategies = ([], []) if record is None else (record.metrics, record.meta_strategies)
    # Rows of a run that an earlier version began lack columns.
    rows = align(run.add_row(metrics, state, seconds))
    return Record(state, rows, [*strategies, state.meta_strategy])


def _make_show(progress: Progress, events: EventWriter) -> Show:
    """Returns a function that shows new and changed rows, and the learners' metrics with a new row."""

    def show(before: list[Row], after: list[Row], learner_metrics: Row) -> None:
        # Only the last two rows can be new or changed: the next responses complete the row before.
        known = {row["iteration"]: row for row in before[-2:]}
        for row in after[-2:]:
            old = known.get(row["iteration"], {})
            # Values are compared as text, because NaN does not equal itself.
            changed = {name: value for name, value in row.items() if repr(value) != repr(old.get(name))}
            if changed:
                written = changed if old else changed | learner_metrics
                events.write(int(row["iteration"]), written, time.time())
                progress.update(row)

    return show


def _learner_metrics(state: PSROState[PolicyT, PayoffsT]) -> Row:
    """Returns the metrics of the learners that trained the state's responses, by player and name."""
    return {
        f"learner_{player}/{name}": value
        for player, response in enumerate(state.responses)
        for name, value in response.metrics.items()
    }


def _show_next_step(progress: Progress, record: Record[PolicyT, PayoffsT], config: PSROConfig) -> None:
    """Shows the run's next step: an iteration, or the evaluation of the final mixture."""
    following = record.state.iteration + 1
    if following <= config.iterations:
        progress.start_iteration(following, f"training best responses ({config.oracle})")
    else:
        progress.start_iteration(record.state.iteration, "evaluating the last mixture")

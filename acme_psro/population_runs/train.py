"""Training of a population: the outer loop, which tells callbacks of every event."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.oracles.base import NO_MEMORY, BestResponseTask, Oracle, Remembering, Response
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.callbacks import (
    Callback,
    Callbacks,
    IterationEnded,
    IterationStarted,
    ResponseFound,
    RunEnded,
    RunStarted,
    RunStopped,
)
from acme_psro.population_runs.metrics import align
from acme_psro.population_runs.recording import CheckpointWriter, MetricsWriter
from acme_psro.psro import loop
from acme_psro.psro.loop import PSROState
from acme_psro.storage.checkpoint import Record
from acme_psro.system.process_groups import interruptible


def print_warning(line: str) -> None:
    """Prints a warning as one line on standard error."""
    print(f"warning: {' '.join(line.split())}", file=sys.stderr, flush=True)


def train_population(
    run: PopulationRun[PolicyT, PayoffsT],
    directory: Path,
    restored: Record[PolicyT, PayoffsT] | None,
    callbacks: Sequence[Callback] = (),
    warn: Callable[[str], None] = print_warning,
) -> Record[PolicyT, PayoffsT]:
    """Runs PSRO from its beginning or from a record, and returns the newest record.

    It is the final one, unless a callback asked to stop the run. The run is closed at the end, and SIGTERM
    ends it like Ctrl-C.

    Args:
      run: the population run.
      directory: the run's directory.
      restored: the record from which the run is resumed; None to start a new run.
      callbacks: listeners to the run's events. Checkpoints and `metrics.csv` are always written.
      warn: called with one line if a callback fails.

    Raises:
      Exception: one of the run's `failures`; the run can be resumed.
    """
    # The record comes first: a process killed in between loses no work, and the next one tidies up.
    told = Callbacks([CheckpointWriter(run, directory), MetricsWriter()], callbacks, warn)
    record = restored
    with interruptible(), contextlib.closing(run):
        if restored is not None and isinstance(run.oracle, Remembering):
            run.oracle.remember(restored.memory)
        try:
            config, iterations = run.config.to_json(), run.config.iterations
            told.on_start(RunStarted(directory, config, run.describe(), iterations, restored))
            for after in _iterate(run, directory, restored, told):
                before, record = record, after
                told.on_iteration(IterationEnded(directory, before, record))
                if told.stop is not None:
                    told.on_stop(RunStopped(directory, record, told.stop))
                    return record
            assert record is not None, "the first record is yielded or given"
            concluded = run.conclude(record)
            if concluded is not record:
                before, record = record, dataclasses.replace(concluded, metrics=align(concluded.metrics))
                told.on_iteration(IterationEnded(directory, before, record))
            outcome = run.outcome(record)
        except BaseException as error:
            told.on_stop(RunStopped(directory, record, error))
            raise
        told.on_end(RunEnded(directory, record, outcome))
    return record


def _iterate(
    run: PopulationRun[PolicyT, PayoffsT],
    directory: Path,
    restored: Record[PolicyT, PayoffsT] | None,
    told: Callbacks,
) -> Iterator[Record[PolicyT, PayoffsT]]:
    """Yields the record after each iteration. That of a new run's initial populations comes first."""
    if restored is None:
        record = _extend(run, None, loop.initialise(run.meta_game, run.loop), 0.0)
        yield record
    else:
        record = restored
    states = loop.run(
        record.state,
        run.config.seed,
        run.config.iterations,
        oracle=_announcing(run.oracle, directory, told, lambda: record),
        meta_game=run.meta_game,
        loop=run.loop,
        converged=run.converged,
        holds=run.holds,
        is_repeatable=run.is_repeatable,
    )
    began = time.monotonic()
    for state in states:
        record = _extend(run, record, state, time.monotonic() - began)
        # What callbacks do with the record counts for the next iteration.
        began = time.monotonic()
        yield record


def _announcing(
    oracle: Oracle[PolicyT, PayoffsT],
    directory: Path,
    told: Callbacks,
    newest: Callable[[], Record[PolicyT, PayoffsT]],
) -> Oracle[PolicyT, PayoffsT]:
    """Returns the oracle with its callbacks: they are told of each call, and of each response.

    Args:
      oracle: the oracle.
      directory: the run's directory.
      told: the callbacks.
      newest: returns the record before the iteration.
    """

    def announce(
        key: np.ndarray, tasks: Sequence[BestResponseTask[PolicyT, PayoffsT]]
    ) -> Sequence[Response[PolicyT]]:
        record = newest()
        iteration = record.state.iteration + 1
        told.on_iteration_start(IterationStarted(directory, iteration, record))
        responses = oracle(key, tasks)
        for task, response in zip(tasks, responses, strict=True):
            told.on_response(ResponseFound(directory, iteration, task.player, response))
        return responses

    return announce


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
    memory = run.oracle.memory() if isinstance(run.oracle, Remembering) else NO_MEMORY
    return Record(state, rows, [*strategies, state.meta_strategy], memory)

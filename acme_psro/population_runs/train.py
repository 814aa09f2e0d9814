"""Training of a population: the outer loop, which tells callbacks of every event."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.oracles.asking import Lanes, Results, answer
from acme_psro.oracles.base import NO_MEMORY, Remembering
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.callbacks import Callback, Callbacks
from acme_psro.population_runs.events import (
    IterationEnded,
    IterationStarted,
    ResponseFound,
    RunEnded,
    RunStarted,
    RunStopped,
)
from acme_psro.population_runs.metrics import align
from acme_psro.population_runs.programs import opened_program
from acme_psro.population_runs.recording import CheckpointWriter, MetricsWriter
from acme_psro.psro import loop
from acme_psro.psro.loop import PSROState
from acme_psro.psro.rounds import ask_responses
from acme_psro.storage.record import Record
from acme_psro.system.executors.placing import LOCAL, Placing
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
    devices: Sequence[int] | None = None,
    placing: Placing = LOCAL,
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
      devices: numbers of the local devices on which an oracle with a program of its own trains; None for all.
      placing: the machines on which such an oracle trains.

    Raises:
      Exception: one of the run's `failures`; the run can be resumed.
      ValueError: there is no such device.
    """
    with interruptible(), opened_program([run], devices, placing) as program:
        return answer(training(run, directory, restored, callbacks, warn), program)


def training(
    run: PopulationRun[PolicyT, PayoffsT],
    directory: Path,
    restored: Record[PolicyT, PayoffsT] | None,
    callbacks: Sequence[Callback] = (),
    warn: Callable[[str], None] = print_warning,
) -> Generator[Lanes, Results, Record[PolicyT, PayoffsT]]:
    """Returns a generator that runs PSRO and leaves its oracle's work to the caller.

    It yields what an `AskingOracle` asks for and is sent the results; with other oracles it yields nothing.
    The arguments, and what it returns and raises in the end, are those of `train_population`.
    """
    # The record comes first: a process killed in between loses no work, and the next one tidies up.
    told = Callbacks([CheckpointWriter(run, directory), MetricsWriter()], callbacks, warn)
    record = restored
    with contextlib.closing(run):
        if restored is not None and isinstance(run.oracle, Remembering):
            run.oracle.remember(restored.memory)
        try:
            config, iterations = run.config.to_json(), run.config.iterations
            told.on_start(RunStarted(directory, config, run.describe(), iterations, restored))
            began = time.monotonic()
            if record is None:
                record = _extend(run, None, loop.initialise(run.meta_game, run.loop), 0.0)
                began = time.monotonic()
                told.on_iteration(IterationEnded(directory, None, record))
            while told.stop is None:
                state = yield from _advance(run, directory, record, told)
                if state is None:
                    break
                before, record = record, _extend(run, record, state, time.monotonic() - began)
                # What callbacks do with the record counts for the next iteration.
                began = time.monotonic()
                told.on_iteration(IterationEnded(directory, before, record))
            if told.stop is not None:
                told.on_stop(RunStopped(directory, record, told.stop))
                return record
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


def _advance(
    run: PopulationRun[PolicyT, PayoffsT],
    directory: Path,
    record: Record[PolicyT, PayoffsT],
    told: Callbacks,
) -> Generator[Lanes, Results, PSROState[PolicyT, PayoffsT] | None]:
    """Returns a generator of the state after one more iteration; None if the run is done.

    Callbacks are told of the iteration's beginning, and of each response.
    """
    state, seed = record.state, run.config.seed
    # Tested before the oracle is asked, so that a resumed run that has already converged does no more work.
    if state.iteration >= run.config.iterations or run.converged(state):
        return None
    iteration = state.iteration + 1
    told.on_iteration_start(IterationStarted(directory, iteration, record))
    key, tasks = loop.iteration_key(seed, state.iteration), run.loop.tasks(state)
    responses = yield from ask_responses(run.oracle, key, tasks)
    for task, response in zip(tasks, responses, strict=True):
        told.on_response(ResponseFound(directory, iteration, task.player, response))
    following = loop.advance(state, tasks, responses, meta_game=run.meta_game, loop=run.loop, holds=run.holds)
    # No state follows if every further iteration would find the same again.
    is_new = not run.is_repeatable or loop.has_changed(state, following, run.loop, run.holds)
    return following if is_new else None


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

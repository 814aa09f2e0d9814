"""Steps of a population run: opened with all checks, begun in its directory, and carried out.

`acme_psro.run` and the commands share them.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.population_runs import seed_directories
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.callbacks import Callback
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.exact import ExactRun
from acme_psro.population_runs.on_graph import GraphRun
from acme_psro.population_runs.prepare import check_placing, prepare_run, settle_payoffs
from acme_psro.population_runs.recording import ReportWriter, TensorBoardWriter
from acme_psro.population_runs.showing import ProgressDisplay
from acme_psro.population_runs.train import print_warning, train_population
from acme_psro.storage import run_directory
from acme_psro.storage.record import Record
from acme_psro.storage.run_config import write_config
from acme_psro.system import jax_settings
from acme_psro.system.executors.placing import LOCAL, Placing
from acme_psro.system.lock import locked

if TYPE_CHECKING:
    from acme_psro.population_runs.sampled import SampledRun
    from acme_psro.population_runs.sampled_members import SampledMembersRun


@contextlib.contextmanager
def opened(
    config: PSROConfig,
    directory: Path,
    resume: bool,
    started: float,
    warn: Callable[[str], None],
    on_progress: Callable[[int], None] = lambda nodes: None,
    check: Callable[[PSROConfig], None] = lambda config: None,
    placing: Placing = LOCAL,
) -> Iterator[ExactRun | GraphRun | SampledRun | SampledMembersRun]:
    """Context manager that makes all checks, locks the directory and provides the run; writes nothing itself.

    Args:
      config: the run's configuration.
      directory: the run's directory, which need not exist.
      resume: True to continue the run in the directory.
      started: the value of `time.monotonic()` when the run was asked for.
      warn: called with one line for each failure.
      on_progress: called with the number of nodes compiled so far.
      check: called with the configuration once it is known whether payoffs are exact; may raise a ValueError.
      placing: the machines on which the run's work is carried out.

    Raises:
      ValueError: a setting is not allowed, the directory cannot be used, or the cluster cannot.
    """
    config = settle_payoffs(config, directory)
    seed_directories.check_for_one(directory)
    run_directory.check(directory, config.to_json(), resume)
    if config.oracle != "exact":
        jax_settings.check_platforms()
    check_placing(config, placing)
    prepared = prepare_run(config, directory, started, warn, on_progress, placing)
    check(prepared.config)
    with locked(directory):
        # Another process may have written to the directory before this one acquired the lock.
        run_directory.check(directory, config.to_json(), resume)
        yield prepared


def begin(
    prepared: PopulationRun[PolicyT, PayoffsT], directory: Path, resume: bool, warn: Callable[[str], None]
) -> Record[PolicyT, PayoffsT] | None:
    """Writes the configuration, and returns the record from which a run is resumed; None if it is new.

    Args:
      prepared: the run, see `opened`.
      directory: the run's directory.
      resume: True to continue the run in the directory.
      warn: called with one line for each checkpoint that is skipped.

    Raises:
      ValueError: no checkpoint is whole, or the game has changed.
    """
    restored = run_directory.resume(directory, prepared.form, warn) if resume else None
    # A run that has done more than it is asked for now stays as it was recorded.
    if restored is None or restored.state.iteration <= prepared.config.iterations:
        write_config(directory, prepared.config.to_json())
    return restored


def carry_out(
    prepared: PopulationRun[PolicyT, PayoffsT],
    directory: Path,
    restored: Record[PolicyT, PayoffsT] | None,
    callbacks: Sequence[Callback] = (),
    show_progress: bool = True,
    devices: Sequence[int] | None = None,
    placing: Placing = LOCAL,
) -> tuple[Record[PolicyT, PayoffsT], bool]:
    """Starts or resumes a prepared run with the callbacks of all its files and of the screen.

    Args:
      prepared: the run, see `opened`.
      directory: the run's directory.
      restored: the record from which the run is resumed, see `begin`; None if it is new.
      callbacks: further callbacks, which come last.
      show_progress: False to print nothing but warnings.
      devices: numbers of the local devices on which responses are trained; None for all.
      placing: the machines on which responses are trained.

    Returns:
      The newest record, and True if the report of the finished run is written.
    """
    displays = [ProgressDisplay(sys.stdout, prepared.describe_now, placing)] if show_progress else []
    report = ReportWriter(prepared, print_warning)
    listeners = [*displays, report, TensorBoardWriter(lambda: report.images), *callbacks]
    record = train_population(prepared, directory, restored, listeners, devices=devices, placing=placing)
    return record, report.is_final

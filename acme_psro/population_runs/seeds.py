"""Seeds side by side: several runs that differ in their seeds only, in one process and with one program.

Each seed's directory is that of a run of its own, which can be resumed, evaluated and loaded alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeAlias

import numpy as np

from acme_psro.display.progress import Progress, make_progress
from acme_psro.meta_game.base import PolicyT
from acme_psro.oracles.asking import Lanes, Results
from acme_psro.policies.on_graph import GraphPolicy
from acme_psro.policies.tabular import Policy
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.exact import ExactRun
from acme_psro.population_runs.on_graph import GraphRun
from acme_psro.population_runs.overview import Overview
from acme_psro.population_runs.prepare import check_placing, prepare_seeds, settle_payoffs
from acme_psro.population_runs.programs import opened_program
from acme_psro.population_runs.recording import ReportWriter, TensorBoardWriter
from acme_psro.population_runs.seed_directories import check_for_seeds, directory_of, is_begun
from acme_psro.population_runs.showing import describe_work
from acme_psro.population_runs.steps import begin
from acme_psro.population_runs.together import run_together
from acme_psro.population_runs.train import print_warning, training
from acme_psro.storage import run_directory
from acme_psro.storage.record import Record
from acme_psro.system import jax_settings
from acme_psro.system.executors.placing import LOCAL, Placing
from acme_psro.system.lock import locked
from acme_psro.system.process_groups import interruptible


@dataclasses.dataclass(frozen=True, eq=False)
class SeedRun(Generic[PolicyT]):
    """A prepared run of one seed.

    Attributes:
      seed: the seed.
      directory: the run's directory.
      run: the run.
      resume: True if the run is resumed.
    """

    seed: int
    directory: Path
    run: PopulationRun[PolicyT, np.ndarray]
    resume: bool

    def begin(self, warn: Callable[[str], None]) -> BegunSeed[PolicyT]:
        """Writes the run's configuration, see `begin_seeds`."""
        restored = begin(self.run, self.directory, self.resume, warn)
        return BegunSeed(self.seed, self.directory, self.run, restored)


@dataclasses.dataclass(frozen=True, eq=False)
class BegunSeed(Generic[PolicyT]):
    """A run of one seed whose configuration is written.

    Attributes:
      seed: the seed.
      directory: the run's directory.
      run: the run.
      restored: the record from which the run is resumed; None if it is new.
    """

    seed: int
    directory: Path
    run: PopulationRun[PolicyT, np.ndarray]
    restored: Record[PolicyT, np.ndarray] | None

    @property
    def done(self) -> int:
        """The number of iterations that are completed already."""
        return 0 if self.restored is None else self.restored.state.iteration

    def train(self, overview: Overview) -> Generator[Lanes, Results, object]:
        """Returns the run as a generator that asks for its oracle's work.

        Its callbacks are those of a run alone, with the overview as its display.
        """
        report = ReportWriter(self.run, print_warning)
        listeners = [overview.follower(self.seed), report, TensorBoardWriter(lambda: report.images)]
        return training(self.run, self.directory, self.restored, listeners)


# Runs of one seed on a tree and on a graph.
AnySeedRun: TypeAlias = SeedRun[Policy] | SeedRun[GraphPolicy]
AnyBegunSeed: TypeAlias = BegunSeed[Policy] | BegunSeed[GraphPolicy]


@contextlib.contextmanager
def opened_seeds(
    config: PSROConfig,
    num_seeds: int,
    root: Path,
    resume: bool,
    started: float,
    warn: Callable[[str], None],
    on_progress: Callable[[int], None] = lambda nodes: None,
    placing: Placing = LOCAL,
) -> Iterator[list[AnySeedRun]]:
    """Context manager that makes all checks, locks the directories and provides the runs; writes nothing.

    Args:
      config: the configuration of the first seed's run; others have the seeds that follow.
      num_seeds: the number of seeds.
      root: the directory of the seeds' directories, which need not exist.
      resume: True to resume those runs that have begun, and to begin the others.
      started: the value of `time.monotonic()` when the runs were asked for.
      warn: called with one line for each failure.
      on_progress: called with the number of nodes compiled so far.
      placing: the machines on which the runs' work is carried out.

    Raises:
      ValueError: a setting is not allowed, or a directory or the cluster cannot be used.
    """
    check_num_seeds(config, num_seeds)
    config = settle_payoffs(config, root)
    directories = {seed: directory_of(root, seed) for seed in range(config.seed, config.seed + num_seeds)}

    def check() -> None:
        check_for_seeds(root, list(directories), resume)
        for seed, directory in directories.items():
            settings = dataclasses.replace(config, seed=seed).to_json()
            run_directory.check(directory, settings, resume and is_begun(directory))

    check()
    jax_settings.check_platforms()
    check_placing(config, placing)
    runs = prepare_seeds(config, directories, started, warn, on_progress, placing)
    with contextlib.ExitStack() as locks:
        for directory in (root, *directories.values()):
            locks.enter_context(locked(directory))
        # Another process may have written to a directory before this one acquired the locks.
        check()
        yield [
            _of_seed(run, directory, resume and is_begun(directory))
            for run, directory in zip(runs, directories.values(), strict=True)
        ]


def _of_seed(run: ExactRun | GraphRun, directory: Path, resume: bool) -> AnySeedRun:
    # Both branches do the same, but each tells the type checker which policies the run has.
    if isinstance(run, ExactRun):
        return SeedRun(run.config.seed, directory, run, resume)
    return SeedRun(run.config.seed, directory, run, resume)


def check_num_seeds(config: PSROConfig, num_seeds: int) -> None:
    """Checks that runs with this configuration may be run side by side.

    Raises:
      ValueError: they may not.
    """
    if num_seeds < 1:
        raise ValueError(f"--num_seeds must be at least 1, not {num_seeds}.")
    if config.oracle == "exact":
        raise ValueError("--num_seeds needs --oracle=device: exact responses are the same for every seed.")
    if config.oracle != "device":
        raise ValueError(
            f"--num_seeds needs --oracle=device, not {config.oracle}: start a command for each --seed."
        )


def carry_out_seeds(
    seeds: Sequence[AnyBegunSeed],
    root: Path,
    show_progress: bool = True,
    devices: Sequence[int] | None = None,
    placing: Placing = LOCAL,
) -> Overview:
    """Starts or resumes prepared runs, with all their files, and writes the report of all of them.

    Args:
      seeds: the runs, see `begin_seeds`.
      root: the directory of their directories.
      show_progress: False to print nothing but warnings.
      devices: numbers of the local devices on which responses are trained; None for all.
      placing: the machines on which responses are trained.

    Returns:
      The overview of the finished runs.

    Raises:
      ValueError: there is no such device.
    """
    first = seeds[0].run
    config = first.config.to_json()
    numbers = [each.seed for each in seeds]
    with contextlib.ExitStack() as held:
        progress = None
        if show_progress:
            done = max(each.done for each in seeds)
            progress = held.enter_context(_shown(first, root, numbers, done, placing))
        overview = Overview(
            root / "report.html", config, numbers, progress, print_warning, details=first.describe_now
        )
        held.enter_context(interruptible())
        program = held.enter_context(opened_program([each.run for each in seeds], devices, placing))
        try:
            run_together([each.train(overview) for each in seeds], program)
        except BaseException:
            overview.stop()
            raise
        overview.finish()
    return overview


def begin_seeds(seeds: Sequence[AnySeedRun], warn: Callable[[str], None]) -> list[AnyBegunSeed]:
    """Writes each run's configuration, and returns the runs with the records from which they are resumed.

    Args:
      seeds: the runs, see `opened_seeds`.
      warn: called with one line for each checkpoint that is skipped.

    Raises:
      ValueError: no checkpoint of a run is whole, or the game has changed.
    """
    return [each.begin(warn) for each in seeds]


@contextlib.contextmanager
def _shown(
    first: PopulationRun[Any, Any], root: Path, seeds: Sequence[int], done: int, placing: Placing
) -> Iterator[Progress]:
    """Context manager that prints what is run, and provides the display of the means over seeds."""
    config = first.config.to_json()
    print(first.describe())
    print(f"seeds {', '.join(map(str, seeds))}; {describe_work(config, root, placing)}", flush=True)
    with make_progress(max(config["iterations"], done), sys.stdout) as progress:
        progress.start_iteration(0, "computing payoffs of the first policies")
        yield progress

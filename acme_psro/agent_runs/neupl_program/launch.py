"""Launch of NeuPL's program in a child process, which is started again if it fails.

The imports are kept light: JAX and Acme are imported only by the program's own processes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable
from pathlib import Path

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs import program_jobs
from acme_psro.agent_runs.neupl_program import population_files
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation
from acme_psro.system.executors.choose import make_executor
from acme_psro.system.executors.placing import LOCAL, Placing
from acme_psro.system.jobs import Event, Job
from acme_psro.system.retries import Retries
from acme_psro.system.supervision import run_all


def run(
    config: NeuPLProgramConfig,
    directory: Path,
    *,
    on_epoch: Callable[[NeuPLPopulation], None] = lambda population: None,
    on_event: Callable[[Event], None] = lambda event: None,
    on_poll: Callable[[], None] = lambda: None,
    retries: Retries | None = None,
    placing: Placing = LOCAL,
) -> NeuPLPopulation:
    """Runs the program until its last epoch, and returns the last population.

    A program that was killed in this directory goes on from its checkpoints. However this function ends, no
    process of the program is left.

    Args:
      config: configuration of the program.
      directory: its directory, which is made if it does not exist.
      on_epoch: called with the population that the directory holds, if any, and then with each new one, while
        the program runs on; if several epochs pass between two looks, only with the last one.
      on_event: called when the program starts, fails or is done.
      on_poll: called at each look at the directory; an error of it ends the program.
      retries: see `acme_psro.system.supervision.run_all`.
      placing: the machines on which the program runs.

    Raises:
      ValueError: the configuration is refused.
      JobError: the program failed too often, or in a way that starting it again cannot mend.
      KeyboardInterrupt: Ctrl-C was pressed, or SIGTERM was received.
    """
    watch = _Watch(directory, on_epoch)

    def poll() -> None:
        watch.look()
        on_poll()

    run_all(
        [make_job(config, directory)],
        retries=retries,
        hang_seconds=program_jobs.HANG_SECONDS,
        on_event=on_event,
        on_poll=poll,
        executor=make_executor(placing),
    )
    watch.look()
    return population_files.read(directory)


def make_job(config: NeuPLProgramConfig, directory: Path) -> Job:
    """Makes the job that runs the program; see `acme_psro.system.supervision`."""
    return Job(
        "program",
        program_jobs.command_of("acme_psro.agent_runs.neupl_program.child", config.to_json(), directory),
        is_done=functools.partial(is_done, config, directory),
        failure=functools.partial(program_jobs.failure_of, directory),
        landmark=functools.partial(_landmark, directory),
        signs=functools.partial(run_directory.signs_of_life, directory, config.run),
        environment=program_jobs.environment_of(config.learner_devices),
        directory=directory,
        inputs=config.members.sink_files,
        marker=run_directory.FINISHED,
    )


def is_done(config: NeuPLProgramConfig, directory: Path) -> bool:
    """Returns True if the program has ended itself after all epochs of this configuration."""
    if not (run_directory.has_finished(directory) and population_files.exists(directory)):
        return False
    return population_files.read(directory).epoch >= config.epochs


def _landmark(directory: Path) -> Hashable:
    """Returns the point from which another launch would go on."""
    graph = directory / "graph.npz"
    changed = graph.stat().st_mtime_ns if graph.exists() else None
    return run_directory.newest_checkpoint(directory), changed


@dataclasses.dataclass
class _Watch:
    """Finds new populations in a program's directory.

    Attributes:
      directory: the directory.
      on_epoch: called with each new population.
      epoch: the epoch of the last one.
    """

    directory: Path
    on_epoch: Callable[[NeuPLPopulation], None]
    epoch: int = 0
    changed: int | None = None

    def look(self) -> None:
        """Calls `on_epoch` if there is a new population."""
        path = self.directory / "population.npz"
        changed = path.stat().st_mtime_ns if path.exists() else None
        if changed == self.changed:
            return
        population = population_files.read(self.directory)
        # On another machine's behalf, files may be written in any order.
        if not all(file.path.exists() for file in population.fixed.values()):
            return
        self.changed = changed
        if population.epoch > self.epoch:
            self.epoch = population.epoch
            self.on_epoch(population)

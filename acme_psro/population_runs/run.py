"""Population runs from Python: `acme_psro.run`, and the steps that it shares with the command."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.population_runs import seed_directories
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.callbacks import Callback
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.configure import Settings, configure, name_of
from acme_psro.population_runs.exact import ExactRun
from acme_psro.population_runs.on_graph import GraphRun
from acme_psro.population_runs.prepare import check_placing, prepare_run, settle_payoffs
from acme_psro.population_runs.recording import ReportWriter, TensorBoardWriter
from acme_psro.population_runs.showing import ProgressDisplay
from acme_psro.population_runs.train import print_warning, train_population
from acme_psro.storage import run_directory
from acme_psro.storage.checkpoint import Record
from acme_psro.system import jax_settings
from acme_psro.system.executors.placing import LOCAL, Placing
from acme_psro.system.lock import locked

if TYPE_CHECKING:
    import pyspiel

    from acme_psro.population_runs.result import Result
    from acme_psro.population_runs.sampled import SampledRun
    from acme_psro.population_runs.sampled_members import SampledMembersRun


def run(
    game: str | pyspiel.Game,
    *,
    loop: str = "psro",
    oracle: str = "device",
    agent: str | None = None,
    preset: str | None = None,
    meta_solver: str | None = None,
    iterations: int | None = None,
    seed: int = 0,
    tolerance: float = 1e-7,
    payoffs: str = "auto",
    max_nodes: int | None = None,
    device: Settings | None = None,
    launchpad: Settings | None = None,
    agent_settings: Settings | None = None,
    simulation: Settings | None = None,
    neupl: Settings | None = None,
    warm_start: str = "none",
    exact_every: int = 1,
    symmetric: bool = False,
    ce_responses: str | None = None,
    callbacks: Sequence[Callback] = (),
    output_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    show_progress: bool = True,
    placing: Placing = LOCAL,
) -> Result:
    """Runs a population loop on a game and returns the result.

    It does what the command `acme-psro run` does, with the same defaults, checks and files.

    Args:
      game: an OpenSpiel game string, or a game of OpenSpiel.
      loop: the loop's name, a key of `acme_psro.psro.registry.LOOPS`.
      oracle: "exact", "device" or "launchpad".
      agent: the agent that learns best responses; None for "crossq" ("conditional_mpo" if the loop trains
        whole populations), or if the oracle is exact.
      preset: a named budget of the device oracle, a key of `acme_psro.population_runs.defaults.PRESETS`; None
        for the default.
      meta_solver: a key of `acme_psro.solvers.SOLVERS`; None for the loop's default, "nash" but for
        "jpsro" and "neupl_jpsro".
      iterations: the largest number of iterations; None for the game's default.
      seed: the seed of all random numbers.
      tolerance: the run stops once no player gains more than this, in the game's utility units.
      payoffs: "exact", "sampled", or "auto" for exact ones if the game compiles.
      max_nodes: games with more nodes are not compiled; None for the default.
      device: settings of the device oracle that differ from the game's defaults, by field of
        `acme_psro.oracles.device.training.DeviceConfig`.
      launchpad: the same of the Launchpad oracle, by field of
        `acme_psro.oracles.launchpad.tasks.LaunchpadConfig`.
      agent_settings: the same of the agent, by field of its configuration.
      simulation: settings of sampled payoffs, by field of `acme_psro.meta_game.sampled.SimulationConfig`.
      neupl: settings of the loop "neupl", by field of `acme_psro.neupl.config.NeuPLConfig`, or of
        "neupl_jpsro", by field of `acme_psro.neupl.distillation.DistillationConfig`.
      warm_start: "population" for responses that begin in the network of their player's earlier ones, which
        needs the device oracle and the agent "conditional_mpo"; "none" for fresh networks.
      exact_every: iterations from one exact evaluation to the next in games that are compiled to graphs, in
        which it takes from seconds to minutes.
      symmetric: True for one population of both players, which needs a symmetric game, and the loop "psro" or
        "jpsro".
      ce_responses: "largest_gap", the default, or "all": to which recommendations players respond in the loop
        "jpsro" with a meta-solver of correlated equilibria.
      callbacks: listeners to the run's events, in addition to checkpoints, metrics.csv, TensorBoard events,
        the report and the display.
      output_dir: the run's directory; None for a new temporary directory, which `Result.run_dir` names.
      resume: True to continue the run in `output_dir`.
      show_progress: False to print nothing but warnings.
      placing: the machines on which best responses are trained and payoffs simulated; this one by default.

    Returns:
      The finished run, or what there is of a run that a callback stopped.

    Raises:
      ValueError: an argument is not allowed, or the directory cannot be used; the message is one line.
      RuntimeError: a process of the run failed for good. The run can be resumed, also after Ctrl-C.
    """
    started = time.monotonic()
    with _words_of_python(), contextlib.ExitStack() as held:
        config = configure(
            name_of(game),
            loop=loop,
            oracle=oracle,
            agent=agent,
            preset=preset,
            meta_solver=meta_solver,
            iterations=iterations,
            seed=seed,
            tolerance=tolerance,
            payoffs=payoffs,
            max_nodes=max_nodes,
            device=device,
            launchpad=launchpad,
            agent_settings=agent_settings,
            simulation=simulation,
            neupl=neupl,
            warm_start=warm_start,
            exact_every=exact_every,
            symmetric=symmetric,
            ce_responses=ce_responses,
        )
        if config.oracle != "exact":
            _use_single_precision()
        directory = held.enter_context(_place(output_dir, resume))
        opening = opened(config, directory, resume, started, print_warning, placing=placing)
        prepared = held.enter_context(opening)
        if simulation and prepared.config.payoffs == "exact":
            raise ValueError("simulation needs --payoffs=sampled, and has no effect otherwise: leave it out.")
        # All branches do the same, but each tells the type checker which policies go with which payoffs.
        if isinstance(prepared, ExactRun):  # noqa: SIM114
            _run(prepared, directory, resume, callbacks, show_progress, placing)
        elif isinstance(prepared, GraphRun):
            _run(prepared, directory, resume, callbacks, show_progress, placing)
        else:
            _run(prepared, directory, resume, callbacks, show_progress, placing)
        # Imported here, because the command, which shares this module, does without it.
        from acme_psro.population_runs.result import load_run

        return load_run(directory)


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
        run_directory.write_config(directory, prepared.config.to_json())
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


def _run(
    prepared: PopulationRun[PolicyT, PayoffsT],
    directory: Path,
    resume: bool,
    callbacks: Sequence[Callback],
    show_progress: bool,
    placing: Placing,
) -> None:
    restored = begin(prepared, directory, resume, print_warning)
    record, has_report = carry_out(prepared, directory, restored, callbacks, show_progress, placing=placing)
    if show_progress and has_report:
        print(prepared.summary(record))
        print(f"report: {directory / 'report.html'}", flush=True)


def _use_single_precision() -> None:
    """Makes sure that JAX has the numbers that learning needs.

    Raises:
      ValueError: JAX is in use already, with other numbers.
    """
    jax_settings.use_defaults()
    if "jax" in sys.modules:
        import jax

        if jax.dtypes.canonicalize_dtype("float64").itemsize == 8:
            raise ValueError("learning needs single precision, but jax_enable_x64 is on: turn it off first.")


@contextlib.contextmanager
def _place(output_dir: str | os.PathLike[str] | None, resume: bool) -> Iterator[Path]:
    """Context manager that provides the run's directory; a temporary one is removed if it stays empty."""
    if output_dir is not None:
        yield Path(output_dir).expanduser()
        return
    if resume:
        raise ValueError("--resume needs --output_dir: name the directory of the run.")
    directory = Path(tempfile.mkdtemp(prefix="acme_psro_"))
    try:
        yield directory
    finally:
        with contextlib.suppress(OSError):
            directory.rmdir()


@contextlib.contextmanager
def _words_of_python() -> Iterator[None]:
    """Context manager that turns flags in the messages of ValueErrors into arguments of `run`."""
    try:
        yield
    except ValueError as error:
        if len(error.args) == 1 and isinstance(error.args[0], str):
            text = re.sub(r"--(\w+)=(\w+)", r"\1='\2'", error.args[0])
            error.args = (re.sub(r"--(\w+)", r"\1", text.replace("--resume", "resume=True")),)
        raise

"""Population runs from Python: `acme_psro.run`."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.callbacks import Callback
from acme_psro.population_runs.configure import Settings, configure, name_of
from acme_psro.population_runs.exact import ExactRun
from acme_psro.population_runs.on_graph import GraphRun
from acme_psro.population_runs.steps import begin, carry_out, opened
from acme_psro.population_runs.train import print_warning
from acme_psro.system import jax_settings
from acme_psro.system.executors.placing import LOCAL, Placing

if TYPE_CHECKING:
    import pyspiel

    from acme_psro.population_runs.result import Result


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
        `acme_psro.oracles.device.config.DeviceConfig`.
      launchpad: the same of the Launchpad oracle, by field of
        `acme_psro.oracles.launchpad.config.LaunchpadConfig`.
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

"""Runs PSRO on an OpenSpiel game and writes a report.

acme-psro run --game=leduc_poker --oracle=device --agent=crossq --output_dir=DIR
acme-psro run --game=phantom_ttt --oracle=launchpad --payoffs=sampled --output_dir=DIR
"""

from __future__ import annotations

from acme_psro.commands import command_line

# isort: split

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import flags

from acme_psro.agent_runs.config import LOCAL_LAUNCH_TYPES
from acme_psro.games.compile import DEFAULT_MAX_NODES
from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.policies.meta_strategy import require_product
from acme_psro.population_runs import defaults
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.config import ORACLES, PAYOFFS, PSROConfig
from acme_psro.population_runs.exact import ExactRun
from acme_psro.population_runs.prepare import prepare_run, settle_payoffs
from acme_psro.population_runs.train import train_population
from acme_psro.solvers import SOLVERS
from acme_psro.storage import run_directory
from acme_psro.storage.checkpoint import Record
from acme_psro.system import jax_settings
from acme_psro.system.lock import locked
from acme_psro.system.process_groups import interruptible
from agents import registry

_STARTED = time.monotonic()

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string, including parameters.")
flags.DEFINE_string("oracle", "device", f"Oracle that computes best responses: {', '.join(ORACLES)}.")
flags.DEFINE_string(
    "agent", "crossq", f"Agent that learns best responses: {', '.join(registry.RESPONSE_AGENTS)}."
)
flags.DEFINE_string("meta_solver", "nash", f"Meta-solver: {', '.join(SOLVERS)}.")
flags.DEFINE_integer("iterations", None, "Maximum number of iterations; the default depends on the game.")
flags.DEFINE_integer("seed", 0, "Random seed of the run.")
flags.DEFINE_string("output_dir", None, "Run directory; by default runs/GAME-ORACLE-SEED.")
flags.DEFINE_boolean("resume", False, "Resume the run in the output directory.")
flags.DEFINE_integer("max_nodes", DEFAULT_MAX_NODES, "Games with more nodes are not compiled.")
flags.DEFINE_string("payoffs", "auto", f"How payoffs are computed: {', '.join(PAYOFFS)}.")
flags.DEFINE_float("tolerance", 1e-7, "Stop when no player gains more than this by a best response.")
flags.DEFINE_integer("gradient_steps_per_response", None, "Optimiser updates of each response.")
flags.DEFINE_integer("num_envs", None, "Games played in parallel, for each player.")
flags.DEFINE_integer("batch_size", None, "Transitions in the batch of an update.")
flags.DEFINE_integer("buffer_size", None, "Capacity of the replay buffer in transitions, for each player.")
flags.DEFINE_integer(
    "max_extensions", None, "Maximum number of times that the training of a weak response is extended."
)
flags.DEFINE_integer("actor_steps_per_response", None, "Decisions of a Launchpad program's actors in total.")
flags.DEFINE_integer("actors_per_response", None, "Actors of a Launchpad program.")
flags.DEFINE_integer(
    "games_per_actor", None, "Games that each actor of a Launchpad program plays in parallel."
)
flags.DEFINE_integer("max_parallel_programs", None, "Launchpad programs that run in parallel.")
flags.DEFINE_string("lp_launch_type", None, f"How a program runs: {', '.join(LOCAL_LAUNCH_TYPES)}.")
flags.DEFINE_integer(
    "plateau_patience", None, "Evaluations without improvement after which a program ends; 0 disables this."
)
flags.DEFINE_float(
    "plateau_min_improvement", None, "Smallest gain that counts as an improvement, in utility units."
)
flags.DEFINE_string("learner_devices", None, "Devices, such as 0,1, assigned in turn to parallel programs.")
flags.DEFINE_integer(
    "payoff_episodes", None, "With sampled payoffs, minimum number of episodes of every profile."
)
flags.DEFINE_integer(
    "extra_payoff_episodes",
    None,
    "With sampled payoffs, further episodes an iteration for the most informative profiles.",
)
flags.DEFINE_integer("gain_episodes", None, "Episodes that estimate the gain of a response.")
flags.DEFINE_integer("payoff_workers", None, "Simulation processes; by default one for each core.")

FLAGS = flags.FLAGS

# Flags that only some runs use: the name of the flag, and of the setting that it changes.
_DEVICE = {
    "gradient_steps_per_response": "gradient_steps",
    "num_envs": "num_envs",
    "batch_size": "batch_size",
    "buffer_size": "buffer_size",
    "max_extensions": "max_extensions",
}
_LAUNCHPAD = {
    "actor_steps_per_response": "actor_steps",
    "actors_per_response": "actors_per_response",
    "games_per_actor": "games_per_actor",
    "max_parallel_programs": "max_parallel_programs",
    "lp_launch_type": "lp_launch_type",
    "plateau_patience": "plateau_patience",
    "plateau_min_improvement": "plateau_min_improvement",
    "learner_devices": "learner_devices",
}
_SIMULATION = {
    "payoff_episodes": "payoff_episodes",
    "extra_payoff_episodes": "extra_payoff_episodes",
    "gain_episodes": "gain_episodes",
    "payoff_workers": "payoff_workers",
}


def build_config() -> PSROConfig:
    """Builds the run's configuration from the flags and the defaults of the game and agent.

    Settings that the chosen oracle does not use are left out.

    Raises:
      ValueError: a flag has an invalid value.
    """
    game = FLAGS.game.strip()
    usual = defaults.game_settings(game, FLAGS.agent)
    return PSROConfig(
        game=game,
        oracle=FLAGS.oracle,
        agent=FLAGS.agent,
        meta_solver=FLAGS.meta_solver,
        iterations=usual.iterations if FLAGS.iterations is None else FLAGS.iterations,
        seed=FLAGS.seed,
        max_nodes=FLAGS.max_nodes,
        tolerance=FLAGS.tolerance,
        device=usual.device | _given(_DEVICE) if FLAGS.oracle == "device" else {},
        launchpad=usual.launchpad | _given(_LAUNCHPAD) if FLAGS.oracle == "launchpad" else {},
        # Launchpad programs choose their own agent settings, see `acme_psro.agent_runs.config`.
        agent_settings=usual.agent_settings if FLAGS.oracle == "device" else {},
        payoffs=FLAGS.payoffs,
        simulation=_given(_SIMULATION),
    )


def _given(names: dict[str, str]) -> dict[str, Any]:
    """Returns the values of flags that have one, by name of the setting."""
    return {name: FLAGS[flag].value for flag, name in names.items() if FLAGS[flag].value is not None}


def check_flags(config: PSROConfig) -> None:
    """Checks that every flag which the user gave has an effect.

    Args:
      config: the run's configuration. If its payoffs are still "auto", flags of both kinds are allowed.

    Raises:
      ValueError: a flag has none; the message names the option that it needs.
    """
    needs = {}
    if config.oracle == "exact":
        needs["agent"] = "--oracle=device or --oracle=launchpad"
    if config.oracle != "device":
        needs |= dict.fromkeys(_DEVICE, "--oracle=device")
    if config.oracle != "launchpad":
        needs |= dict.fromkeys(_LAUNCHPAD, "--oracle=launchpad")
        needs |= dict.fromkeys(_SIMULATION, "--oracle=launchpad --payoffs=sampled")
    elif config.payoffs == "exact":
        needs |= dict.fromkeys(_SIMULATION, "--payoffs=sampled")
    if FLAGS.payoffs == "sampled":
        needs["max_nodes"] = "--payoffs=exact or --payoffs=auto"
    command_line.check_used(needs)


def output_directory() -> Path:
    """Returns the run's directory.

    Raises:
      ValueError: the flag names the home directory of a user who does not exist.
    """
    if FLAGS.output_dir:
        return command_line.path_of("output_dir", FLAGS.output_dir)
    name = "".join(c if c.isalnum() or c in "_-" else "_" for c in FLAGS.game.strip())
    return Path("runs", command_line.shorten(f"{name}-{FLAGS.oracle}-{FLAGS.seed}"))


def main() -> None:
    """Checks the flags and the run directory, runs PSRO and writes the report."""
    with contextlib.ExitStack() as held:
        with command_line.bad_input():
            config = build_config()
            check_flags(config)
            directory = output_directory()
            config = settle_payoffs(config, directory)
            run_directory.check(directory, config.to_json(), FLAGS.resume)
            if config.oracle != "exact":
                jax_settings.check_platforms()
            with _cleared_line():
                run = prepare_run(config, directory, _STARTED, _warn, _say_nodes)
            check_flags(run.config)
            held.enter_context(locked(directory))
            # Another process may have written to the directory before this one acquired the lock.
            run_directory.check(directory, config.to_json(), FLAGS.resume)
        # Both branches call the same function, but each tells the type checker which policies go with
        # which payoffs.
        if isinstance(run, ExactRun):
            _run(run, directory)
        else:
            _run(run, directory)


def _run(run: PopulationRun[PolicyT, PayoffsT], directory: Path) -> None:
    """Starts or resumes a prepared run and writes its report."""
    with command_line.bad_input():
        restored = run_directory.resume(directory, run.form, _warn) if FLAGS.resume else None
    print(run.describe(), flush=True)
    # A run that has done more than it is asked for now stays as it was recorded.
    if restored is None or restored.state.iteration <= run.config.iterations:
        run_directory.write_config(directory, run.config.to_json())
    # A ValueError from a Launchpad program means bad input. With other oracles it is a bug of ours, and its
    # traceback must stay visible.
    with command_line.bad_input() if run.config.oracle == "launchpad" else contextlib.nullcontext():
        try:
            with interruptible(), contextlib.closing(run):
                record = train_population(run, directory, restored)
        except run.failures as error:
            sys.exit(f"error: {error}; --resume continues the run.")
    is_written = _write_report(directory, run, record)
    print(run.summary(record))
    if is_written:
        print(f"report: {directory / 'report.html'}")


def _write_report(
    directory: Path, run: PopulationRun[PolicyT, PayoffsT], record: Record[PolicyT, PayoffsT]
) -> bool:
    """Writes the report and returns True, or warns and returns False: the run itself is done and stored."""
    try:
        from acme_psro.display.report import write_report

        write_report(
            directory / "report.html",
            config=run_directory.read_config(directory / "config.json"),
            metrics=record.metrics,
            payoffs=run.meta_game.tensor(record.state.payoffs),
            meta_strategies=[require_product(strategy).marginals for strategy in record.meta_strategies],
            outcome=run.outcome(record),
        )
    except OSError as error:
        reason = command_line.describe_os_error(error, directory)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    else:
        return True
    _warn(f"the run is done, but there is no report: {reason}; --resume writes the report.")
    return False


@contextlib.contextmanager
def _cleared_line() -> Iterator[None]:
    """Clears the line that `_say_nodes` rewrites on a screen, at the end of the context."""
    try:
        yield
    finally:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _say_nodes(count: int) -> None:
    # On a screen one line is rewritten; in a file each message is a line of its own.
    if sys.stderr.isatty():
        print(f"\rcompiling: {count:,} nodes", end="", file=sys.stderr, flush=True)
    else:
        print(f"compiling: {count:,} nodes", file=sys.stderr, flush=True)


def _warn(line: str) -> None:
    print(f"warning: {' '.join(line.split())}", file=sys.stderr, flush=True)


def start() -> None:
    """Starts the launcher with the process's arguments."""
    command_line.run(main, output_directory)

"""Runs PSRO on an OpenSpiel game and writes a report.

python -m experiments.run_psro --game=leduc_poker --oracle=device --agent=crossq --output_dir=DIR
python -m experiments.run_psro --game=phantom_ttt --oracle=launchpad --payoffs=sampled --output_dir=DIR
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

from absl import flags

from acme_psro.agent_runs.config import LOCAL_LAUNCH_TYPES
from acme_psro.games.compile import DEFAULT_MAX_NODES
from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.policies.meta_strategy import require_product
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.config import ORACLES, PAYOFFS, PSROConfig
from acme_psro.population_runs.exact import ExactRun
from acme_psro.population_runs.prepare import prepare_run, settle_payoffs
from acme_psro.population_runs.train import train_population
from acme_psro.solvers import SOLVERS
from acme_psro.storage import run_directory
from acme_psro.storage.checkpoint import Record
from acme_psro.system.lock import locked
from acme_psro.system.process_groups import interruptible
from agents import registry
from experiments import command_line, configs

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


def build_config() -> PSROConfig:
    """Builds the run's configuration from the flags and the defaults of the game and agent.

    Raises:
      ValueError: a flag has an invalid value.
    """
    defaults = configs.game_settings(FLAGS.game, FLAGS.agent)
    device = {
        "gradient_steps": FLAGS.gradient_steps_per_response,
        "num_envs": FLAGS.num_envs,
        "batch_size": FLAGS.batch_size,
        "buffer_size": FLAGS.buffer_size,
        "max_extensions": FLAGS.max_extensions,
    }
    launchpad = {
        "actor_steps": FLAGS.actor_steps_per_response,
        "actors_per_response": FLAGS.actors_per_response,
        "games_per_actor": FLAGS.games_per_actor,
        "max_parallel_programs": FLAGS.max_parallel_programs,
        "lp_launch_type": FLAGS.lp_launch_type,
        "plateau_patience": FLAGS.plateau_patience,
        "plateau_min_improvement": FLAGS.plateau_min_improvement,
        "learner_devices": FLAGS.learner_devices,
    }
    simulation = {
        "payoff_episodes": FLAGS.payoff_episodes,
        "extra_payoff_episodes": FLAGS.extra_payoff_episodes,
        "gain_episodes": FLAGS.gain_episodes,
        "payoff_workers": FLAGS.payoff_workers,
    }
    return PSROConfig(
        game=FLAGS.game,
        oracle=FLAGS.oracle,
        agent=FLAGS.agent,
        meta_solver=FLAGS.meta_solver,
        iterations=defaults.iterations if FLAGS.iterations is None else FLAGS.iterations,
        seed=FLAGS.seed,
        max_nodes=FLAGS.max_nodes,
        tolerance=FLAGS.tolerance,
        device=defaults.device | _given(device),
        launchpad=defaults.launchpad | _given(launchpad),
        # Launchpad programs choose their own agent settings, see `acme_psro.agent_runs.config`.
        agent_settings={} if FLAGS.oracle == "launchpad" else defaults.agent_settings,
        payoffs=FLAGS.payoffs,
        simulation=_given(simulation),
    )


def _given(flag_values: dict[str, Any]) -> dict[str, Any]:
    """Returns only the flags that have a value."""
    return {name: value for name, value in flag_values.items() if value is not None}


def main() -> None:
    """Checks the flags and the run directory, runs PSRO and writes the report."""
    with contextlib.ExitStack() as held:
        with command_line.bad_input():
            config = build_config()
            directory = Path(FLAGS.output_dir or _default_directory(config))
            config = settle_payoffs(config, directory)
            run_directory.check(directory, config.to_json(), FLAGS.resume)
            run = prepare_run(config, directory, _STARTED, _warn, _say_nodes)
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
    run_directory.write_config(directory, run.config.to_json())
    # A ValueError from a Launchpad program means bad input. With other oracles it is a bug of ours, and its
    # traceback must stay visible.
    with command_line.bad_input() if run.config.oracle == "launchpad" else contextlib.nullcontext():
        try:
            with interruptible(), contextlib.closing(run):
                record = train_population(run, directory, restored)
        except KeyboardInterrupt:
            sys.exit("stopped; --resume goes on with the run.")
        except run.failures as error:
            sys.exit(f"error: {error}; --resume goes on with the run.")
    _write_report(directory, run, record)
    print(run.summary(record))
    print(f"report: {directory / 'report.html'}")


def _write_report(
    directory: Path, run: PopulationRun[PolicyT, PayoffsT], record: Record[PolicyT, PayoffsT]
) -> None:
    from acme_psro.display.report import write_report

    write_report(
        directory / "report.html",
        config=run.config.to_json(),
        metrics=record.metrics,
        payoffs=run.meta_game.tensor(record.state.payoffs),
        meta_strategies=[require_product(strategy).marginals for strategy in record.meta_strategies],
        outcome=run.outcome(record),
    )


def _default_directory(config: PSROConfig) -> str:
    name = "".join(c if c.isalnum() or c in "_-" else "_" for c in config.game)
    return f"runs/{name}-{config.oracle}-{config.seed}"


def _say_nodes(count: int) -> None:
    print(f"compiling: {count:,} nodes", file=sys.stderr, flush=True)


def _warn(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    command_line.run(main)

"""Runs PSRO on an OpenSpiel game and leaves a report.

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

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string, parameters included.")
flags.DEFINE_string("oracle", "device", f"What computes best responses: {', '.join(ORACLES)}.")
flags.DEFINE_string("agent", "crossq", f"Who learns best responses: {', '.join(registry.RESPONSE_AGENTS)}.")
flags.DEFINE_string("meta_solver", "nash", f"Meta-solver: {', '.join(SOLVERS)}.")
flags.DEFINE_integer("iterations", None, "Iterations at most; by default the game's setting.")
flags.DEFINE_integer("seed", 0, "Seed of everything random.")
flags.DEFINE_string("output_dir", None, "Run directory; by default runs/GAME-ORACLE-SEED.")
flags.DEFINE_boolean("resume", False, "Go on with the run in the output directory.")
flags.DEFINE_integer("max_nodes", DEFAULT_MAX_NODES, "Games with more nodes are not compiled.")
flags.DEFINE_string("payoffs", "auto", f"How payoffs come about: {', '.join(PAYOFFS)}.")
flags.DEFINE_float("tolerance", 1e-7, "Stop once no player gains more than this by a best response.")
flags.DEFINE_integer("gradient_steps_per_response", None, "Optimiser updates for a response.")
flags.DEFINE_integer("num_envs", None, "Games played side by side, for each player.")
flags.DEFINE_integer("batch_size", None, "Transitions in an update.")
flags.DEFINE_integer("buffer_size", None, "Transitions remembered, for each player.")
flags.DEFINE_integer("max_extensions", None, "How often a weak response is trained on, at most.")
flags.DEFINE_integer("actor_steps_per_response", None, "Decisions of a Launchpad program's actors.")
flags.DEFINE_integer("actors_per_response", None, "Actors of a Launchpad program.")
flags.DEFINE_integer("games_per_actor", None, "Games that such an actor plays side by side.")
flags.DEFINE_integer("max_parallel_programs", None, "Launchpad programs that run side by side.")
flags.DEFINE_string("lp_launch_type", None, f"How a program runs: {', '.join(LOCAL_LAUNCH_TYPES)}.")
flags.DEFINE_integer("plateau_patience", None, "Evaluations without gain that end a program; 0: none do.")
flags.DEFINE_float("plateau_min_improvement", None, "What counts as gain, in utility units.")
flags.DEFINE_string("learner_devices", None, "Devices, such as 0,1, for programs side by side, in turn.")
flags.DEFINE_integer("payoff_episodes", None, "Of sampled payoffs, episodes of every profile, at least.")
flags.DEFINE_integer("extra_payoff_episodes", None, "Of them, an iteration, where they tell most.")
flags.DEFINE_integer("gain_episodes", None, "Episodes by which the gain of a response is measured.")
flags.DEFINE_integer("payoff_workers", None, "Processes that simulate; by default one a core.")

FLAGS = flags.FLAGS


def build_config() -> PSROConfig:
    """The configuration that the flags ask for, over the setting of game and agent.

    Raises:
      ValueError: a value that is not allowed.
    """
    setting = configs.setting_for(FLAGS.game, FLAGS.agent)
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
        iterations=setting.iterations if FLAGS.iterations is None else FLAGS.iterations,
        seed=FLAGS.seed,
        max_nodes=FLAGS.max_nodes,
        tolerance=FLAGS.tolerance,
        device=setting.device | _given(device),
        launchpad=setting.launchpad | _given(launchpad),
        # A program has settings of its own, see `acme_psro.agent_runs.config`.
        agent_settings={} if FLAGS.oracle == "launchpad" else setting.agent_settings,
        payoffs=FLAGS.payoffs,
        simulation=_given(simulation),
    )


def _given(flag_values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flag_values.items() if value is not None}


def main() -> None:
    """Parses, checks, runs, reports."""
    with contextlib.ExitStack() as held:
        with command_line.bad_input():
            config = build_config()
            directory = Path(FLAGS.output_dir or _default_directory(config))
            config = settle_payoffs(config, directory)
            run_directory.check(directory, config.to_json(), FLAGS.resume)
            run = prepare_run(config, directory, _STARTED, _warn, _say_nodes)
            held.enter_context(locked(directory))
            # Somebody may have been at work there meanwhile.
            run_directory.check(directory, config.to_json(), FLAGS.resume)
        # Either way the types of policies and payoffs go together.
        if isinstance(run, ExactRun):
            _run(run, directory)
        else:
            _run(run, directory)


def _run(run: PopulationRun[PolicyT, PayoffsT], directory: Path) -> None:
    """Runs, and reports."""
    with command_line.bad_input():
        restored = run_directory.resume(directory, run.form, _warn) if FLAGS.resume else None
    print(run.describe(), flush=True)
    run_directory.write_config(directory, run.config.to_json())
    # What a program refuses is the user's; elsewhere an error is ours.
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

"""Runs PSRO on an OpenSpiel game and leaves a report.

python -m experiments.run_psro --game=leduc_poker --oracle=device --agent=crossq --output_dir=DIR
"""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from acme_psro import evaluation, payoffs, population, psro, run_directory
from acme_psro.checkpoint import Record
from acme_psro.games.tree import DEFAULT_MAX_NODES, GameTree, compile_game
from acme_psro.oracles.base import Oracle, Response
from acme_psro.progress import Progress, make_progress
from acme_psro.solvers import SOLVERS, check_solver_fits, get_solver
from acme_psro.summaries import EventWriter
from acme_psro.supervision import JobError
from experiments import command_line, configs, names
from experiments.agent_runs.config import LAUNCH_TYPES

_STARTED = time.monotonic()

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string, parameters included.")
flags.DEFINE_string("oracle", "device", f"What computes best responses: {', '.join(configs.ORACLES)}.")
flags.DEFINE_string("agent", "crossq", f"Who learns best responses: {', '.join(names.PSRO_AGENTS)}.")
flags.DEFINE_string("meta_solver", "nash", f"Meta-solver: {', '.join(SOLVERS)}.")
flags.DEFINE_integer("iterations", None, "Iterations at most; by default the game's setting.")
flags.DEFINE_integer("seed", 0, "Seed of everything random.")
flags.DEFINE_string("output_dir", None, "Run directory; by default runs/GAME-ORACLE-SEED.")
flags.DEFINE_boolean("resume", False, "Go on with the run in the output directory.")
flags.DEFINE_integer("max_nodes", DEFAULT_MAX_NODES, "Refuse games with more nodes.")
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
flags.DEFINE_string("lp_launch_type", None, f"How a program runs: {', '.join(LAUNCH_TYPES)}.")

FLAGS = flags.FLAGS


def build_config() -> configs.PSROConfig:
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
    }
    return configs.PSROConfig(
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
        # A program has settings of its own, see `experiments.agent_runs.config`.
        agent_settings={} if FLAGS.oracle == "launchpad" else setting.agent_settings,
    )


def _given(flag_values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flag_values.items() if value is not None}


def main() -> None:
    """Parses, checks, runs, reports."""
    with command_line.bad_input():
        config = build_config()
        directory = Path(FLAGS.output_dir or _default_directory(config))
        run_directory.check(directory, config.to_json(), FLAGS.resume)
        tree = compile_game(config.game, config.max_nodes, on_progress=_say_nodes)
        check_solver_fits(config.meta_solver, tree.num_players, tree.zero_sum)
        make_oracle = _prepare_oracle(config, directory)
        restored = run_directory.resume(directory, tree, _warn) if FLAGS.resume else None
    print(
        f"{tree.game_string}: {tree.num_nodes:,} nodes, {tree.num_infosets:,} information states, "
        f"compiled in {time.monotonic() - _STARTED:.1f} s",
        flush=True,
    )
    run_directory.write_config(directory, config.to_json())
    # What a program refuses is the user's; elsewhere an error is ours.
    with command_line.bad_input() if config.oracle == "launchpad" else contextlib.nullcontext():
        try:
            record, outcome = train(config, tree, directory, restored, make_oracle)
        except JobError as error:
            sys.exit(f"error: {error}; --resume goes on with the run.")
    _write_report(directory, config, record, outcome)
    last = record.metrics[-1]
    print(f"{outcome} Exploitability {last['exploitability']:.6f}, NashConv {last['nash_conv']:.6f}.")
    print(f"report: {directory / 'report.html'}")


def train(
    config: configs.PSROConfig,
    tree: GameTree,
    directory: Path,
    restored: Record | None,
    make_oracle: Callable[[GameTree], Oracle],
) -> tuple[Record, str]:
    """Runs PSRO from its beginning or from a record; returns where it ended, and a sentence on why."""
    fill = functools.partial(payoffs.exact_payoffs, tree)
    solve = get_solver(config.meta_solver)
    if restored is None:
        policies = [population.uniform_policy(tree, player) for player in range(tree.num_players)]
        state = psro.initialise(policies, payoffs=fill, solve=solve)
        record = _extend(tree, Record(state, [], []), state, 0.0, config.tolerance)
        run_directory.write_record(directory, record)
    else:
        record = restored
    with (
        make_progress(config.iterations, sys.stdout) as progress,
        EventWriter(directory / "events") as events,
    ):
        for row in record.metrics:
            progress.update(row)
        run = psro.run(
            record.state,
            config.seed,
            config.iterations,
            oracle=make_oracle(tree),
            payoffs=fill,
            solve=solve,
            converged=lambda state: _gains(tree, state).max() <= config.tolerance,
        )
        began = time.monotonic()
        _start(progress, record, config)
        for state in run:
            record = _extend(tree, record, state, time.monotonic() - began, config.tolerance)
            began = time.monotonic()
            run_directory.write_record(directory, record)
            events.write(state.iteration, {**record.metrics[-1], **_learner_metrics(state)}, time.time())
            progress.update(record.metrics[-1])
            _start(progress, record, config)
    return record, _outcome(config, tree, record)


def _prepare_oracle(config: configs.PSROConfig, directory: Path) -> Callable[[GameTree], Oracle]:
    """What makes the oracle by name, its settings checked.

    Imports what it needs only now, as JAX takes a second to import.

    Raises:
      ValueError: a setting that is not allowed.
    """
    if config.oracle == "exact":
        from acme_psro.oracles import exact

        return functools.partial(exact.make_oracle, tolerance=config.tolerance)
    if config.oracle == "launchpad":
        from acme_psro.oracles import launchpad
        from experiments import policy_tables, responses

        return functools.partial(
            launchpad.make_oracle,
            directory=directory / "responses",
            run_programs=responses.make_run_programs(config, _warn),
            make_table=policy_tables.make_table,
            tolerance=config.tolerance,
        )
    from acme_psro.oracles import device, training
    from experiments import agents

    settings = training.DeviceConfig(**config.device)
    return functools.partial(
        device.make_oracle,
        make_agent=agents.make_agent(config),
        config=settings,
        tolerance=config.tolerance,
    )


def _gains(tree: GameTree, state: psro.PSROState) -> np.ndarray:
    return evaluation.evaluate(tree, state.populations, state.meta_strategy).per_player_gain


def _extend(
    tree: GameTree, record: Record, state: psro.PSROState, seconds: float, tolerance: float
) -> Record:
    """The record with a row for the state, whose iteration took so many seconds."""
    return Record(
        state,
        [*record.metrics, metrics_row(tree, state, record.metrics, seconds, tolerance)],
        [*record.meta_strategies, state.meta_strategy],
    )


def metrics_row(
    tree: GameTree,
    state: psro.PSROState,
    before: list[dict[str, float]],
    seconds: float,
    tolerance: float,
) -> dict[str, float]:
    """A row of `metrics.csv`; gaps are of the responses sought in this iteration, kept or not."""
    figures = evaluation.evaluate(tree, state.populations, state.meta_strategy)
    # What starting up took belongs to the first row, so that curves against time are honest.
    wall = before[-1]["wall_seconds"] + seconds if before else time.monotonic() - _STARTED
    row: dict[str, float] = {
        "iteration": state.iteration,
        "wall_seconds": wall,
        "episodes": state.episodes,
        "env_steps": state.env_steps,
        "gradient_steps": state.gradient_steps,
        "nash_conv": figures.nash_conv,
        "exploitability": figures.exploitability,
    }
    for player, gain in enumerate(figures.per_player_gain):
        row[f"gain_{player}"] = float(gain)
        row |= _gap_columns(player, state.responses[player] if state.responses else None, tolerance)
        row[f"population_{player}"] = len(state.populations[player])
    row["iteration_seconds"] = seconds
    return row


def _gap_columns(player: int, response: Response | None, tolerance: float) -> Mapping[str, float]:
    """The gap of a response; not a number without one, or where there was nothing to gain."""
    gap = relative = np.nan
    if response is not None and response.best_gain > tolerance:
        gap = max(response.best_gain - response.gain, 0.0)
        relative = gap / response.best_gain
    return {f"gap_{player}": gap, f"relative_gap_{player}": relative}


def _learner_metrics(state: psro.PSROState) -> dict[str, float]:
    return {
        f"learner_{player}/{name}": value
        for player, response in enumerate(state.responses)
        for name, value in response.metrics.items()
    }


def _start(progress: Progress, record: Record, config: configs.PSROConfig) -> None:
    following = record.state.iteration + 1
    if following <= config.iterations:
        progress.start_iteration(following, f"training best responses ({config.oracle})")


def _outcome(config: configs.PSROConfig, tree: GameTree, record: Record) -> str:
    done = record.state.iteration
    if _gains(tree, record.state).max() <= config.tolerance:
        return (
            f"Converged after {done} iterations: no player gains more than {config.tolerance:g} by an "
            "exact best response."
        )
    return f"Stopped after {done} iterations, as asked."


def _write_report(directory: Path, config: configs.PSROConfig, record: Record, outcome: str) -> None:
    from acme_psro.report import write_report

    write_report(
        directory / "report.html",
        config=config.to_json(),
        metrics=record.metrics,
        payoffs=record.state.payoffs,
        meta_strategies=[strategy.marginals for strategy in record.meta_strategies],
        outcome=outcome,
    )


def _default_directory(config: configs.PSROConfig) -> str:
    name = "".join(c if c.isalnum() or c in "_-" else "_" for c in config.game)
    return f"runs/{name}-{config.oracle}-{config.seed}"


def _say_nodes(count: int) -> None:
    print(f"compiling: {count:,} nodes", file=sys.stderr, flush=True)


def _warn(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    command_line.run(main)

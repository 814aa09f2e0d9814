"""Trains one network by self-play on an OpenSpiel game, with its exact exploitability along the way.

acme-psro self-play --game=leduc_poker --algorithm=mmd --steps=10000000 --output_dir=DIR
acme-psro self-play --game=kuhn_poker --algorithm=nash_pg --set=entropy=0.05 --set=rollout.num_games=64
acme-psro self-play --game=phantom_ttt --algorithm=tabular_mmd
acme-psro self-play --game=leduc_poker --executor=ray --ray_address=HOST:6379 --output_dir=DIR
"""

from __future__ import annotations

from acme_psro.commands import command_line

# isort: split

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from absl import flags

from acme_psro.commands import config_flag, placing_flags, settings_flag
from acme_psro.commands.settings_flag import AGENT_GROUP, parse_settings
from acme_psro.games.compile import DEFAULT_MAX_NODES
from acme_psro.games.loading import load_game
from acme_psro.self_play_runs import checkpoint
from acme_psro.self_play_runs.config import ALGORITHMS, GROUPS, SelfPlayRunConfig, default_budget
from acme_psro.self_play_runs.work import describe_work
from acme_psro.storage import run_directory
from acme_psro.system import jax_settings
from acme_psro.system.executors.choose import make_executor
from acme_psro.system.executors.placing import Placing
from acme_psro.system.jobs import JobError
from acme_psro.system.lock import locked
from acme_psro.system.tables import Row

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string, including parameters.")
flags.DEFINE_string("algorithm", "mmd", f"Algorithm, with its settings: {', '.join(ALGORITHMS)}.")
flags.DEFINE_integer(
    "steps",
    None,
    "Decisions of all players to learn from (tabular_mmd: updates); by default 1,000,000 (500).",
)
flags.DEFINE_integer("seed", 0, "Random seed of the run.")
flags.DEFINE_integer(
    "evaluate_every",
    None,
    "Steps between two exact evaluations, by default 100,000 (tabular_mmd: 50); 0 for one at the end.",
)
flags.DEFINE_string("output_dir", None, "Run directory; by default runs/GAME-self_play-ALGORITHM-SEED.")
flags.DEFINE_boolean("resume", False, "Resume the run in the output directory.")
flags.DEFINE_integer("max_nodes", DEFAULT_MAX_NODES, "Games with more nodes are not compiled.")

for _shared in (config_flag, settings_flag, placing_flags):
    flags.adopt_module_key_flags(_shared)

FLAGS = flags.FLAGS

# Settings that do not change what is learned.
_MAY_DIFFER = ("max_nodes",)


def build_config() -> SelfPlayRunConfig:
    """Builds the run's configuration from the flags and the file of `--config`.

    Raises:
      ValueError: a flag or a setting has an invalid value.
    """
    file = config_flag.read(__name__, GROUPS)
    given = parse_settings(FLAGS.set, GROUPS)
    # Settings of another algorithm than the file's are not those that the file means.
    in_file = {} if "algorithm" in file.replaced else file.groups[AGENT_GROUP]
    usual = default_budget(FLAGS.algorithm)
    return SelfPlayRunConfig(
        game=FLAGS.game.strip(),
        algorithm=FLAGS.algorithm,
        steps=usual.steps if FLAGS.steps is None else FLAGS.steps,
        seed=FLAGS.seed,
        evaluate_every=usual.evaluate_every if FLAGS.evaluate_every is None else FLAGS.evaluate_every,
        max_nodes=FLAGS.max_nodes,
        agent_settings=in_file | given[AGENT_GROUP],
        rollout=file.groups["rollout"] | given["rollout"],
    )


def output_directory() -> Path:
    """Returns the run's directory.

    Raises:
      ValueError: the flag names the home directory of a user who does not exist.
    """
    name = f"{command_line.file_name_of(FLAGS.game)}-self_play-{FLAGS.algorithm}-{FLAGS.seed}"
    return command_line.output_directory(FLAGS.output_dir, name)


def main() -> None:
    """Checks the flags and the run directory, and trains."""
    with contextlib.ExitStack() as held:
        with command_line.bad_input():
            config = build_config()
            directory = output_directory()
            placing = placing_flags.read_placing()
            stored = config.to_json()
            # The schedules of networks end with their steps; tables learn for as long as one likes.
            may_differ = (*_MAY_DIFFER, "steps") if config.is_tabular else _MAY_DIFFER
            run_directory.check(directory, stored, FLAGS.resume, checkpoint.exists, may_differ)
            held.enter_context(locked(directory))
            prepare = _prepare_elsewhere if placing.is_remote else _prepare_here
            carry_out = prepare(config, directory, placing)
        row = carry_out()
    print(f"exploitability {row['exploitability']:.4f} after {describe_work(stored, row)}: {directory}")


def _prepare_here(config: SelfPlayRunConfig, directory: Path, placing: Placing) -> Callable[[], Row]:
    """Compiles the game, and returns the function that trains in this process.

    Raises:
      ValueError: a setting, the game or the directory is not allowed.
    """
    del placing
    jax_settings.check_platforms()
    # Imported here, because JAX claims the devices that it sees.
    from acme_psro.agent_runs.progress import Progress
    from acme_psro.self_play_runs.games import EvaluationError
    from acme_psro.self_play_runs.run import DivergedError, SelfPlayRun

    run = SelfPlayRun(config, directory, _say)
    restored = run.restore(lambda line: _say(f"warning: {line}"))

    def carry_out() -> Row:
        try:
            return run.carry_out(restored, Progress(config.steps, sys.stderr))
        except (DivergedError, EvaluationError) as error:
            sys.exit(f"error: {error}")

    return carry_out


def _prepare_elsewhere(config: SelfPlayRunConfig, directory: Path, placing: Placing) -> Callable[[], Row]:
    """Connects to the cluster, and returns the function that carries the run out as one job there.

    Raises:
      ValueError: there is no such game, or the cluster cannot be used.
    """
    from acme_psro.agent_runs.progress import Progress
    from acme_psro.self_play_runs import remote

    load_game(config.game)
    executor = make_executor(placing)

    def carry_out() -> Row:
        with command_line.bad_input():
            try:
                progress = Progress(config.steps, sys.stderr)
                return remote.carry_out(config, directory, executor, progress, placing.jobs_per_gpu)
            except JobError as error:
                sys.exit(f"error: {error}")

    return carry_out


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def start() -> None:
    """Starts the launcher with the process's arguments."""
    command_line.run(main, output_directory)

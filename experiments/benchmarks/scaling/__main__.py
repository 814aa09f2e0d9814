"""How a best response's program scales with its actors: measured on this machine, simulated beyond.

python -m experiments.benchmarks.scaling.__main__ --picture=scaling.png

First programs as `run_agent --distributed` runs them, with a few numbers of actors: env steps, which are the
learning player's decisions, and gradient steps a second once learning goes on; nothing is evaluated
meanwhile. Replay's rate limiter ties the two together, so that each program runs once more with a learner
that waits for ever: its actors have nobody to wait for. Then the program's parts, each alone. With what these
cost, programs are simulated: on as many cores as this machine has, to be held against what was measured, and
with as many as they can use, an actor having one to itself.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from absl import flags

from acme_psro.agent_runs import installed, placement
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.games.loading import load_game
from acme_psro.system import cores
from acme_psro.system.process_groups import interruptible
from experiments import command_line
from experiments.benchmarks.scaling import programs, report, services
from experiments.benchmarks.scaling.picture import write_picture
from experiments.benchmarks.scaling.programs import Program, Watched, Windows
from experiments.benchmarks.shared import number_lists, table

# Replay of sequences is not simulated.
_AGENTS = ("crossq", "conditional_mpo")
# A program tells its counts every five seconds.
_LEAST_WATCHED = 12.0
_ROOT = Path(__file__).resolve().parents[3]

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string.")
flags.DEFINE_enum("agent", "crossq", _AGENTS, "What learns.")
flags.DEFINE_integer("player", 0, "Whose decisions are learned.")
flags.DEFINE_integer("games_per_actor", 16, "Games that an actor plays side by side.")
flags.DEFINE_boolean("replay_with_learner", True, "Have replay in the learner's process.")
flags.DEFINE_list("actors", ["1", "2", "4"], "Numbers of actors to measure.")
flags.DEFINE_list("simulated_actors", ["1", "2", "4", "8", "16", "32", "64"], "And to simulate.")
flags.DEFINE_float("settle_seconds", 3.0, "From a program's first gradient step until it is watched.")
flags.DEFINE_float("watch_seconds", 20.0, "How long a program is watched.")
flags.DEFINE_float("probe_seconds", 3.0, "For each measurement of a part.")
flags.DEFINE_integer("seed", 0, "Seed of everything random.")
flags.DEFINE_string("picture", None, "Where to write a PNG of env steps a second by the number of actors.")

FLAGS = flags.FLAGS


def main() -> None:
    """Checks, measures, simulates, prints."""
    with command_line.bad_input():
        numbers = number_lists.whole_numbers("actors", 1)
        simulated = number_lists.whole_numbers("simulated_actors", 1)
        chosen = {
            Program(number, learns): _configure(number, learns)
            for learns in (True, False)
            for number in numbers
        }
        _check()
        placement.check_actors("actors", max(numbers))
        installed.check_acme_layer()
    table.print_machine()
    print(
        f"{FLAGS.agent} as player {FLAGS.player} of {FLAGS.game}, {FLAGS.games_per_actor} games an actor, "
        f"seed {FLAGS.seed}; programs are watched for {FLAGS.watch_seconds:g} s"
    )
    where = "the learner's process" if FLAGS.replay_with_learner else "a process of its own"
    print(f"replay is in {where}")
    # What else runs takes part of the cores from programs, and not from their simulation.
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}\n", flush=True)
    try:
        with interruptible(), tempfile.TemporaryDirectory(prefix="scaling_") as scratch:
            watched = _watch_all(chosen, Path(scratch))
            report.print_programs(watched)
            any_config = next(iter(chosen.values()))
            parts = services.measure(
                any_config, FLAGS.probe_seconds, Path(scratch), _environment(Path(scratch))
            )
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    report.print_parts(parts)
    report.print_comparison(parts, watched)
    curves = report.make_curves(parts, watched, simulated)
    report.print_curves(parts, curves)
    if FLAGS.picture:
        title = f"{FLAGS.agent}'s program in {FLAGS.game}"
        write_picture(FLAGS.picture, title, curves, cores.count())
        print(f"picture: {FLAGS.picture}")


def _check() -> None:
    table.check_counts("games_per_actor")
    players = load_game(FLAGS.game).num_players()
    if not 0 <= FLAGS.player < players:
        raise ValueError(f"--player must be from 0 to {players - 1} in {FLAGS.game}, not {FLAGS.player}.")
    if not FLAGS.watch_seconds >= _LEAST_WATCHED:
        raise ValueError(
            f"--watch_seconds must be at least {_LEAST_WATCHED:g}, not {FLAGS.watch_seconds}: programs tell "
            "their counts every five seconds."
        )
    if FLAGS.picture and not Path(FLAGS.picture).absolute().parent.is_dir():
        raise ValueError(f"--picture={FLAGS.picture}: there is no such directory; make it first.")
    for name in ("settle_seconds", "probe_seconds"):
        if not getattr(FLAGS, name) > 0:
            raise ValueError(f"--{name} must be above 0, not {getattr(FLAGS, name)}.")


def _configure(num_actors: int, learns: bool) -> AgentRunConfig:
    made = programs.make_config(
        FLAGS.agent, FLAGS.game, FLAGS.player, FLAGS.games_per_actor, FLAGS.seed, num_actors, learns
    )
    return dataclasses.replace(made, replay_with_learner=FLAGS.replay_with_learner)


def _watch_all(chosen: Mapping[Program, AgentRunConfig], scratch: Path) -> dict[Program, Watched]:
    windows, environment = Windows(FLAGS.settle_seconds, FLAGS.watch_seconds), _environment(scratch)
    watched = {}
    for index, (program, config) in enumerate(chosen.items()):
        directory = scratch / f"program{index}"
        watched[program] = programs.watch(config, program.learns, directory, windows, environment)
    return watched


def _environment(scratch: Path) -> dict[str, str]:
    """Variables of all processes: the first program compiles, the others find what it did."""
    paths = [str(_ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "JAX_COMPILATION_CACHE_DIR": str(scratch / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.3",
    }


if __name__ == "__main__":
    command_line.run(main)

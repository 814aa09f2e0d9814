"""Scaling of a best response's program with its actors, measured on this machine and simulated beyond.

python -m experiments.benchmarks.scaling --picture=scaling.png

First, real programs run as by `run_agent --distributed`, with a few numbers of actors. They report env steps
per second, which are the learning player's decisions, and gradient steps per second while learning is under
way; there are no evaluations meanwhile. Replay's rate limiter couples the two rates, so each program runs a
second time with a learner that waits forever: its actors never wait for the learner. Second, the parts of the
program are measured separately. Third, programs are simulated with these costs: on the cores of this machine,
for comparison with the measurements, and on as many cores as they can use, with one core for each actor.
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
from acme_psro.commands import command_line
from acme_psro.games.loading import load_game
from acme_psro.system import cores
from acme_psro.system.process_groups import interruptible
from experiments.benchmarks.scaling import programs, report, services
from experiments.benchmarks.scaling.picture import write_picture
from experiments.benchmarks.scaling.programs import Program, Watched, Windows
from experiments.benchmarks.shared import number_lists, table

# Replay of sequences is not simulated.
_AGENTS = ("crossq", "conditional_mpo")
# A program writes its counts every five seconds.
_LEAST_WATCHED = 12.0
_ROOT = Path(__file__).resolve().parents[3]

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string.")
flags.DEFINE_enum("agent", "crossq", _AGENTS, "Agent that learns.")
flags.DEFINE_integer("player", 0, "The player whose decisions are learned.")
flags.DEFINE_integer("games_per_actor", 16, "Games that an actor plays in parallel.")
flags.DEFINE_boolean("replay_with_learner", True, "Run replay in the learner's process.")
flags.DEFINE_list("actors", ["1", "2", "4"], "Numbers of actors to measure.")
flags.DEFINE_list(
    "simulated_actors", ["1", "2", "4", "8", "16", "32", "64"], "Numbers of actors to simulate."
)
flags.DEFINE_float(
    "settle_seconds", 3.0, "Time from a program's first gradient step until its measurement begins."
)
flags.DEFINE_float("watch_seconds", 20.0, "Duration of the measurement of a program.")
flags.DEFINE_float("probe_seconds", 3.0, "Duration of each measurement of a part.")
flags.DEFINE_integer("seed", 0, "Random seed of all programs.")
flags.DEFINE_string("picture", None, "Path of a PNG of env steps a second by the number of actors.")

FLAGS = flags.FLAGS


def main() -> None:
    """Measures programs and their parts, simulates programs and prints the results."""
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
    # Other processes on the machine slow down real programs, but not their simulation.
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
    """Checks the flags, and raises a ValueError if one has an invalid value."""
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
    """Returns environment variables of all processes, with a common cache of compiled programs."""
    paths = [str(_ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "JAX_COMPILATION_CACHE_DIR": str(scratch / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.3",
    }


if __name__ == "__main__":
    command_line.run(main)

"""Env steps per second of one actor: many games side by side, and Acme's loop with one game.

python -m experiments.benchmarks.acting.__main__

Both act with the same CrossQ policy as one player of the same environment, fetch its variables as they go
and write what they see into a Reverb server, ours with one adder for all games, Acme's
`EnvironmentLoop` and `GenericActor` with Acme's adder. The others play uniformly, or a network of the same
size, asked by Acme's loop for one state and by ours for all that wait for it. Actors have nothing but the
CPU; the servers and their threads share its cores with them.
"""

from __future__ import annotations

from absl import flags

from acme_psro.games.environment import PlayerEnvironment
from acme_psro.system import cores
from experiments import command_line
from experiments.benchmarks.acting import sides
from experiments.benchmarks.acting.sides import LOOP, OURS, Settings
from experiments.benchmarks.shared import table

flags.DEFINE_list("games", ["leduc_poker", "phantom_ttt"], "OpenSpiel game strings.")
flags.DEFINE_integer("games_per_actor", 16, "Games that our actor plays side by side.")
flags.DEFINE_integer("player", 0, "Whose decisions are made.")
flags.DEFINE_integer("loop_steps", 2000, "Steps of a repetition of Acme's loop.")
flags.DEFINE_integer("batched_steps", 20_000, "Steps of a repetition of ours.")
flags.DEFINE_integer("repetitions", 5, "Of each side, by turns; the median counts.")
flags.DEFINE_integer("seed", 0, "Seed of everything random.")

FLAGS = flags.FLAGS

_LEAST_SPEEDUP = 5
_COLUMNS = ("game", "opponents", LOOP, OURS, "speedup")


def main() -> None:
    """Checks, measures, prints."""
    with command_line.bad_input():
        table.check_counts("games_per_actor", "loop_steps", "batched_steps", "repetitions")
        for game in FLAGS.games:
            PlayerEnvironment(game, FLAGS.player)
    names = ("games_per_actor", "player", "loop_steps", "batched_steps", "repetitions", "seed")
    settings = Settings(**{name: getattr(FLAGS, name) for name in names})
    table.print_machine()
    print(
        f"steps a second of one actor, {FLAGS.games_per_actor} games side by side in ours; CrossQ with "
        f"hidden units {sides.CONFIG.policy_hidden_sizes}, a Reverb server for each actor, all on the "
        f"same {cores.count()} cores; median of {FLAGS.repetitions}\n"
    )
    rows, met = [], []
    for game in FLAGS.games:
        for with_network in (False, True):
            seconds = sides.measure(game, with_network, settings)
            ratio = table.speedup(seconds[OURS], seconds[LOOP])
            speeds = [f"{1 / seconds[name]:,.0f}" for name in (LOOP, OURS)]
            opponents = "a network" if with_network else "uniform"
            rows.append((game, opponents, *speeds, ratio))
            met.append(seconds[LOOP] / seconds[OURS] >= _LEAST_SPEEDUP)
    table.print_table(_COLUMNS, rows)
    for row, is_met in zip(rows, met, strict=True):
        table.print_bar(
            f"{row[0]} against {row[1]}: at least {_LEAST_SPEEDUP} times Acme's EnvironmentLoop", is_met
        )


if __name__ == "__main__":
    command_line.run(main)

"""Env steps per second of one actor with many parallel games, and of Acme's loop with one game.

python -m experiments.benchmarks.acting.__main__

Both sides act with the same CrossQ policy as one player of the same environment, fetch its variables
regularly and write their experience to a Reverb server. Our side has one adder for all games; Acme's side is
its `EnvironmentLoop` and `GenericActor` with Acme's adder. The other players act uniformly or by a network of
the same size. Acme's loop evaluates that network for one state at a time, and ours for all waiting states at
once. Actors run on the CPU and share its cores with the servers and their threads.
"""

from __future__ import annotations

from absl import flags

from acme_psro.commands import command_line
from acme_psro.games.environment import PlayerEnvironment
from acme_psro.system import cores
from experiments.benchmarks.acting import sides
from experiments.benchmarks.acting.sides import LOOP, OURS, Settings
from experiments.benchmarks.shared import table

flags.DEFINE_list("games", ["leduc_poker", "phantom_ttt"], "OpenSpiel game strings.")
flags.DEFINE_integer("games_per_actor", 16, "Games that our actor plays in parallel.")
flags.DEFINE_integer("player", 0, "The player that the actors control.")
flags.DEFINE_integer("loop_steps", 2000, "Steps of a repetition of Acme's loop.")
flags.DEFINE_integer("batched_steps", 20_000, "Steps of a repetition of our loop.")
flags.DEFINE_integer("repetitions", 5, "Alternating repetitions of each side; the median is reported.")
flags.DEFINE_integer("seed", 0, "Random seed of both sides.")

FLAGS = flags.FLAGS

_LEAST_SPEEDUP = 5
_COLUMNS = ("game", "opponents", LOOP, OURS, "speedup")


def main() -> None:
    """Measures both sides in every game and prints the results."""
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

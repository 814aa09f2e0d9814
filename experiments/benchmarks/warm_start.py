"""Comparison of responses that begin in the population's network with responses that begin in fresh ones.

python -m experiments.benchmarks.warm_start --game=leduc_poker --loop=psro --seeds=0,1,2
python -m experiments.benchmarks.warm_start --game=leduc_poker --loop=xdo --seeds=0,1,2

All sides answer the questions of one exact run, in its order and from the same games. So the mixtures do not
depend on what a side has learned. A response has reached a gap if its best snapshot so far plays, by its most
probable actions, for all but this share of the exact gain. The first response of each player has nothing to
begin in, and is left out.

Fresh networks are measured with their own settings and with those of responses that begin in the population.
"whole network" begins with all parameters of the response before: its policy hardly plays anything but its
old actions, and must first be unlearned.
"""

from __future__ import annotations

import numpy as np
from absl import flags

from acme_psro.commands import command_line
from acme_psro.games.compile import compile_game
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.population_runs import defaults
from acme_psro.psro.registry import LOOPS
from agents.settings import check_known
from experiments.benchmarks.shared import number_lists, table
from experiments.benchmarks.shared.beginnings import FRESH, POPULATION, WHOLE, Side, Way, record_tasks
from experiments.benchmarks.shared.beginnings_table import FRESH_SIDE, WARM_SIDE, print_sides
from experiments.benchmarks.shared.many_responses import AGENT

# Loops whose populations grow, so that there are responses.
_LOOPS = [
    name
    for name, entry in LOOPS.items()
    if not entry.trains_members and not entry.is_joint and entry.converges
]

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string, of two players.")
flags.DEFINE_string("loop", "psro", f"Loop whose questions are answered: {', '.join(_LOOPS)}.")
flags.DEFINE_integer("iterations", 8, "Iterations of the exact run.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds; each answers all questions on every side.")
flags.DEFINE_integer("gradient_steps", 600, "Updates of a response.")
flags.DEFINE_integer("snapshots", 50, "Evaluations of a response during training.")
flags.DEFINE_integer(
    "games_per_response", 64_000, "Kept games of each response; 0: agents play while they learn."
)

FLAGS = flags.FLAGS


def make_device(game: str) -> DeviceConfig:
    """Returns the budget of a response.

    Raises:
      ValueError: a flag is not allowed.
    """
    preset = "fast" if FLAGS.games_per_response else None
    usual = defaults.game_settings(game, AGENT, preset=preset).device
    names = ("gradient_steps", "snapshots", "games_per_response")
    chosen = {name: getattr(FLAGS, name) for name in names}
    return DeviceConfig(**{**usual, **chosen, "max_games_per_response": max(FLAGS.games_per_response, 1)})


def main() -> None:
    """Trains all sides and prints the results."""
    with command_line.bad_input():
        table.check_counts("gradient_steps", "snapshots")
        seeds = number_lists.whole_numbers("seeds", 0)
        check_known("loop", FLAGS.loop, _LOOPS)
        if FLAGS.iterations < 2:
            raise ValueError(
                f"--iterations must be at least 2, not {FLAGS.iterations}: first responses do not count."
            )
        device = make_device(FLAGS.game)
        settings = defaults.game_settings(FLAGS.game, AGENT).agent_settings
        tree = compile_game(FLAGS.game)
        recorded = record_tasks(tree, FLAGS.loop, FLAGS.iterations)
    kept = device.games_per_response
    print(
        f"responses of {len(recorded)} iterations of exact {FLAGS.loop} in {tree.game_string}, "
        f"{device.updates} updates and {f'{kept:,} kept games' if kept else 'games while learning'} each, "
        f"seeds {', '.join(map(str, seeds))}"
    )
    table.print_machine()
    warm_settings = {**settings, **defaults.WARM_START[AGENT]}
    ways = {
        FRESH_SIDE: Way(FRESH, settings),
        "fresh networks, its settings": Way(FRESH, warm_settings),
        WARM_SIDE: Way(POPULATION, warm_settings),
        "whole network": Way(WHOLE, warm_settings),
    }
    sides = {}
    for name, way in ways.items():
        side = Side(tree, way, device)
        sides[name] = np.stack([side.gaps(recorded, seed) for seed in seeds])
    print_sides(sides, device.updates)


if __name__ == "__main__":
    command_line.run(main)

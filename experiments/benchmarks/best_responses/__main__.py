"""Gaps of learned best responses to exact ones during training, for every agent of the device oracle.

python -m experiments.benchmarks.best_responses --game=leduc_poker --seeds=0,1,2

The opponents are uniform players, and the mixture of exact PSRO after a few iterations. The responses of all
players are trained in parallel, with the default settings of the game. The gap is the part of the exact
response's gain that a learned response does not reach. The response consists of the most probable actions of
the best snapshot so far. Compilation is reported separately.
"""

from __future__ import annotations

from absl import flags

from acme_psro.commands import command_line
from acme_psro.games.compile import compile_game
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.population_runs import defaults
from agents import registry
from experiments.benchmarks.best_responses.curves import (
    Curve,
    make_opponents,
    make_training,
    measure,
    print_curves,
)
from experiments.benchmarks.shared import number_lists, table

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Random seeds; each trains a response of every player.")
flags.DEFINE_list(
    "agents", list(registry.response_agents()), f"Agents to measure: {', '.join(registry.response_agents())}."
)
flags.DEFINE_integer("mixture_iterations", 5, "Iterations of exact PSRO that produce the mixture.")
flags.DEFINE_integer("gradient_steps", None, "Updates of a response; the default depends on the game.")
flags.DEFINE_integer("snapshots", 20, "Evaluations of the responses during training.")

FLAGS = flags.FLAGS


def main() -> None:
    """Trains the responses of every agent and prints their gaps."""
    with command_line.bad_input():
        table.check_counts("mixture_iterations", "gradient_steps", "snapshots")
        seeds = number_lists.whole_numbers("seeds", 0)
        settings = {agent: defaults.game_settings(FLAGS.game, agent) for agent in FLAGS.agents}
        tree = compile_game(FLAGS.game)
    print(f"best responses in {tree.game_string}, seeds {', '.join(map(str, seeds))}")
    table.print_machine()
    opponents = make_opponents(tree, FLAGS.mixture_iterations)
    curves: dict[str, dict[str, Curve]] = {name: {} for name in opponents}
    for agent, game_settings in settings.items():
        changes = {"snapshots": FLAGS.snapshots}
        if FLAGS.gradient_steps is not None:
            changes["gradient_steps"] = FLAGS.gradient_steps
        run = make_training(
            tree, agent, DeviceConfig(**{**game_settings.device, **changes}), game_settings.agent_settings
        )
        for name, opponent in opponents.items():
            curves[name][agent] = measure(tree, opponent, run, seeds)
    print_curves(curves)


if __name__ == "__main__":
    command_line.run(main)

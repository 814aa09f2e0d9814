"""How near learned best responses come to exact ones, and how soon: every agent of the device oracle.

python -m experiments.benchmarks.best_responses.__main__ --game=leduc_poker --seeds=0,1,2

Against uniform opponents and against the mixture of a few iterations of exact PSRO, both players' responses
are trained side by side with the game's setting. The gap is what a response lacks of the exact one's gain,
the most probable actions of the best snapshot so far being the response. Compilation is shown apart.
"""

from __future__ import annotations

from absl import flags

from acme_psro.games.compile import compile_game
from acme_psro.oracles.device.training import DeviceConfig
from agents import registry
from experiments import command_line, configs
from experiments.benchmarks.best_responses.curves import (
    Curve,
    make_opponents,
    make_training,
    measure,
    print_curves,
)
from experiments.benchmarks.shared import number_lists, table

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds; each trains a response of every player.")
flags.DEFINE_list("agents", list(registry.RESPONSE_AGENTS), f"Of {', '.join(registry.RESPONSE_AGENTS)}.")
flags.DEFINE_integer("mixture_iterations", 5, "Iterations of exact PSRO behind the mixture.")
flags.DEFINE_integer("gradient_steps", None, "Updates of a response; by default the game's setting.")
flags.DEFINE_integer("snapshots", 20, "How often responses are evaluated on the way.")

FLAGS = flags.FLAGS


def main() -> None:
    """Measures and prints."""
    with command_line.bad_input():
        table.check_counts("mixture_iterations", "gradient_steps", "snapshots")
        seeds = number_lists.whole_numbers("seeds", 0)
        settings = {agent: configs.setting_for(FLAGS.game, agent) for agent in FLAGS.agents}
        tree = compile_game(FLAGS.game)
    print(f"best responses in {tree.game_string}, seeds {', '.join(map(str, seeds))}")
    table.print_machine()
    opponents = make_opponents(tree, FLAGS.mixture_iterations)
    curves: dict[str, dict[str, Curve]] = {name: {} for name in opponents}
    for agent, setting in settings.items():
        changes = {"snapshots": FLAGS.snapshots}
        if FLAGS.gradient_steps is not None:
            changes["gradient_steps"] = FLAGS.gradient_steps
        run = make_training(
            tree, agent, DeviceConfig(**{**setting.device, **changes}), setting.agent_settings
        )
        for name, opponent in opponents.items():
            curves[name][agent] = measure(tree, opponent, run, seeds)
    print_curves(curves)


if __name__ == "__main__":
    command_line.run(main)

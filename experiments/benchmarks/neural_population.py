"""NeuPL against PSRO with separate networks at equal budgets, by population exploitability.

python -m experiments.benchmarks.neural_population --game=leduc_poker --seeds=0,1,2

Both sides learn by conditional MPO with their default settings, in batches of the same size, and end with the
same number of policies a player. NeuPL trains all of them in one network; PSRO trains one network a player
and iteration, with an equal share of all gradient steps and env steps for each. Population exploitability is
that of the least exploitable mixture of a side's populations (one linear program a player). A quarter of the
budget is the last population within a quarter of all gradient steps.

What both know of the game: exact payoffs between policies. PSRO takes the best of ten snapshots of a response
by its exact gain too; NeuPL's members are what the network is after an epoch, unless they are frozen.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from absl import flags

import acme_psro
from acme_psro.commands import command_line
from acme_psro.games.compile import compile_game
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.oracles.device.config import DeviceConfig
from experiments.benchmarks.shared import number_lists, table

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string; a two-player zero-sum game.")
flags.DEFINE_integer("members", 8, "Policies of each player at the end, the first one included.")
flags.DEFINE_integer("epochs", 42, "Epochs of NeuPL, which determine the budget of both sides.")
flags.DEFINE_integer("num_envs", 512, "NeuPL's games side by side, for each player.")
flags.DEFINE_integer("updates_per_round", 20, "NeuPL's gradient steps of a round.")
flags.DEFINE_integer("batch_size", 2048, "Decisions in the batch of an update, of both sides.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds; each runs both sides.")
flags.DEFINE_boolean("freezing", False, "Whether NeuPL freezes its members from below.")

FLAGS = flags.FLAGS

_UPDATES_PER_ROUND = 4


class Side(NamedTuple):
    """Population exploitability of one run.

    Attributes:
      quarter: after a quarter of the gradient steps.
      end: at the end.
      gradient_steps: of the whole run.
      env_steps: of the whole run.
      seconds: of the whole run, start-up included.
    """

    quarter: float
    end: float
    gradient_steps: int
    env_steps: int
    seconds: float


def share_of_response(gradient_steps: int, env_steps: int, members: int, batch_size: int) -> dict[str, Any]:
    """Returns settings of the device oracle that give each of PSRO's responses an equal share.

    Args:
      gradient_steps: of all responses.
      env_steps: of all responses.
      members: policies of each of two players at the end.
      batch_size: decisions in the batch of an update.
    """
    responses = 2 * (members - 1)
    updates = max(_UPDATES_PER_ROUND, gradient_steps // responses // _UPDATES_PER_ROUND * _UPDATES_PER_ROUND)
    # Every response plays some rounds before it learns.
    budget = {"gradient_steps": updates, "updates_per_round": _UPDATES_PER_ROUND, "batch_size": batch_size}
    num_envs = env_steps // responses // (updates // _UPDATES_PER_ROUND)
    while num_envs > 1 and _env_steps(budget, num_envs) > env_steps // responses:
        num_envs -= 1
    buffer_size = max(200_000, batch_size, num_envs)
    return {**budget, "num_envs": num_envs, "buffer_size": buffer_size, "max_extensions": 0}


def _env_steps(budget: dict[str, Any], num_envs: int) -> int:
    """Returns the env steps of a response."""
    config = DeviceConfig(**budget, num_envs=num_envs, buffer_size=max(200_000, num_envs))
    return (config.rounds_before_learning + config.updates // config.updates_per_round) * num_envs


def read_side(rows: Sequence[dict[str, float]]) -> Side:
    """Returns what the rows of a run's metrics say."""
    last = rows[-1]
    early = [row for row in rows if row["gradient_steps"] <= last["gradient_steps"] / 4]
    name = "population_exploitability"
    return Side(
        early[-1][name],
        last[name],
        int(last["gradient_steps"]),
        int(last["env_steps"]),
        last["wall_seconds"],
    )


def measure(seed: int, neupl: NeuPLConfig) -> tuple[Side, Side]:
    """Runs both sides with a seed: NeuPL's side, and PSRO's."""
    common: dict[str, Any] = {"seed": seed, "agent": "conditional_mpo", "show_progress": False}
    settings = {
        "population_size": neupl.population_size,
        "num_envs": neupl.num_envs,
        "updates_per_round": neupl.updates_per_round,
        "batch_size": neupl.batch_size,
        "freezing": neupl.freezing,
    }
    ours = acme_psro.run(FLAGS.game, loop="neupl", iterations=FLAGS.epochs, neupl=settings, **common)
    one = read_side(ours.metrics)
    device = share_of_response(one.gradient_steps, one.env_steps, neupl.population_size, neupl.batch_size)
    separate = acme_psro.run(
        FLAGS.game, loop="psro", iterations=neupl.population_size - 1, device=device, **common
    )
    return one, read_side(separate.metrics)


def main() -> None:
    """Measures both sides and prints the results."""
    with command_line.bad_input():
        table.check_counts("members", "epochs", "num_envs", "updates_per_round", "batch_size")
        seeds = number_lists.whole_numbers("seeds", 0)
        config = NeuPLConfig(
            population_size=FLAGS.members,
            num_envs=FLAGS.num_envs,
            updates_per_round=FLAGS.updates_per_round,
            batch_size=FLAGS.batch_size,
            freezing=FLAGS.freezing,
        )
        tree = compile_game(FLAGS.game)
    print(
        f"{FLAGS.members} policies of each player in {tree.game_string}, seeds {', '.join(map(str, seeds))}"
    )
    table.print_machine()
    sides: dict[str, list[Side]] = {"NeuPL, one network": [], "PSRO, separate networks": []}
    rows = []
    for seed in seeds:
        for (name, measured), side in zip(sides.items(), measure(seed, config), strict=True):
            measured.append(side)
            counts = [f"{side.gradient_steps:,}", f"{side.env_steps:,}", f"{side.seconds:.0f}"]
            rows.append([name, str(seed), f"{side.quarter:.3f}", f"{side.end:.3f}", *counts])
    columns = ["population exploitability", "seed", "at a quarter", "at the end"]
    table.print_table([*columns, "gradient steps", "env steps", "seconds"], sorted(rows))
    for field, when in (("quarter", "at a quarter of the budget"), ("end", "at the end")):
        one, separate = (
            statistics.median(getattr(side, field) for side in measured) for measured in sides.values()
        )
        table.print_bar(f"{when}, medians {one:.3f} and {separate:.3f}: NeuPL's is lower", one < separate)


if __name__ == "__main__":
    command_line.run(main)

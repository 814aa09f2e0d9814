"""Comparison of one conditional MPO network for many members with a separate network for each member.

python -m experiments.benchmarks.one_network --game=leduc_poker --seeds=0,1,2 --figure=one_network.png

Every member is a best response of one player to its own opponent. The opponents are the mixtures that exact
PSRO responds to in its first iterations, beginning with uniform players. A population of best responses
learns such tasks; they are all different, and the same in every run. Both sides have the same total number of
gradient steps and env steps, the same batch size, and the same total replay memory, which the separate
networks divide equally. Both use the agent's default settings for the game, with a learning rate that decays
over the network's own updates. These settings were not changed for many members.

The one network saves updates, because each update serves all members. Separate networks that each do as many
updates as the one network, with a member's share of the batch, reach about the same gap.

The relative gap is the part of the exact response's gain over the player's own mixture that a learned
response does not reach. The response consists of the most probable actions of the best snapshot so far.
Separate networks are trained one after the other, which on a CPU is no slower than in parallel. Compilation
is reported separately.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from acme_psro.commands import command_line
from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.population_runs import defaults
from acme_psro.system.files import write_atomically
from experiments.benchmarks.shared import number_lists, table
from experiments.benchmarks.shared.many_responses import (
    AGENT,
    Opponent,
    TrainAll,
    make_budget,
    make_one,
    make_opponents,
    make_separate,
    relative_gaps,
)

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string, of two players.")
flags.DEFINE_integer("player", 0, "The player that learns.")
flags.DEFINE_integer("members", 8, "Opponents, each answered by a member, or by a network of its own.")
flags.DEFINE_integer("gradient_steps", 1600, "Updates of either side in total.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds; each trains both sides.")
flags.DEFINE_integer("snapshots", 25, "Evaluations of the responses during training.")
flags.DEFINE_integer("num_envs", 1024, "Parallel games of a separate network.")
flags.DEFINE_integer("batch_size", 1024, "Decisions in the batch of every network.")
flags.DEFINE_integer("buffer_size", 400_000, "Total replay capacity of each side, in decisions.")
flags.DEFINE_integer("updates_per_round", 4, "Updates after each decision in every game.")
flags.DEFINE_string("figure", None, "Path of a PNG of the gaps during training.")

FLAGS = flags.FLAGS

_ONE, _SEPARATE = "one network", "separate networks"
_COLOURS = {_ONE: "#0072b2", _SEPARATE: "#d55e00"}
_MOST_OF_SEPARATE = 0.5
_COUNTS = ("gradient_steps", "num_envs", "batch_size", "buffer_size", "updates_per_round", "snapshots")


class Side(NamedTuple):
    """Measurements of a side.

    Attributes:
      gaps: `[seeds, snapshots, M]`, the relative gap of the best snapshot so far.
      seconds: time to train all members, the median over seeds.
      compile_seconds: time to compile the training before its first run.
    """

    gaps: np.ndarray
    seconds: float
    compile_seconds: float

    @property
    def means(self) -> np.ndarray:
        """The members' mean gap at the end of training, `[seeds]`."""
        return self.gaps[:, -1].mean(axis=-1)


def measure(
    tree: GameTree, player: int, opponents: Sequence[Opponent], train_all: TrainAll, seeds: Sequence[int]
) -> Side:
    """Trains all members once for each seed and measures their gaps."""
    tables = jnp.asarray(np.stack([opponent.table for opponent in opponents]), jnp.float32)
    began = time.monotonic()
    program = jax.jit(train_all).lower(jax.random.key(0), tables).compile()
    compile_seconds = time.monotonic() - began
    gaps, seconds = [], []
    for seed in seeds:
        began = time.monotonic()
        probs = np.asarray(program(jax.random.key(seed), tables))
        seconds.append(time.monotonic() - began)
        gaps.append(relative_gaps(tree, player, opponents, probs))
    return Side(np.stack(gaps), statistics.median(seconds), compile_seconds)


def print_sides(sides: Mapping[str, Side], opponents: Sequence[Opponent]) -> None:
    """Prints the gaps at the end of training, averaged over seeds, and the bar."""
    members = [f"{index}" for index in range(len(opponents))]
    columns = ["gap % of member", *members, "mean", "worst seed", "seconds", "compilation"]
    rows = []
    for name, side in sides.items():
        gaps = (*side.gaps[:, -1].mean(axis=0), side.means.mean(), side.means.max())
        # Adding 0 turns a rounded minus zero into zero.
        cells = [f"{round(100 * gap, 1) + 0.0:.1f}" for gap in gaps]
        rows.append([name, *cells, f"{side.seconds:.1f}", f"{side.compile_seconds:.1f}"])
    gains = [f"{opponent.best_gain:.2f}" for opponent in opponents]
    table.print_table(columns, [*rows, ["exact gain", *gains, "", "", "", ""]])
    one, separate = (100 * sides[name].means.mean() for name in (_ONE, _SEPARATE))
    what = f"one network's mean gap, {one:.1f} %, at most half of separate networks', {separate:.1f} %"
    table.print_bar(what, bool(one <= _MOST_OF_SEPARATE * separate))


def write_figure(path: str, title: str, sides: Mapping[str, Side], gradient_steps: int) -> None:
    """Writes a PNG of the members' mean gap against the total number of gradient steps.

    Thin lines are single seeds, and thick lines are means over seeds.

    Raises:
      OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, side in sides.items():
        means = 100 * side.gaps.mean(axis=-1)
        steps = gradient_steps * np.arange(1, means.shape[1] + 1) / means.shape[1]
        axes.plot(steps, means.T, color=_COLOURS[name], linewidth=0.6, alpha=0.5)
        axes.plot(steps, means.mean(axis=0), color=_COLOURS[name], linewidth=1.8, label=name)
    half = 100 * _MOST_OF_SEPARATE * sides[_SEPARATE].means.mean()
    axes.axhline(
        half, color="#555555", linewidth=1.0, linestyle="--", label="half of separate networks' last"
    )
    axes.set(xlabel="gradient steps in total", ylabel="mean gap of best responses (%)", title=title)
    axes.set(xlim=(0, None), ylim=(0, None))
    axes.grid(True, linewidth=0.3)
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    write_atomically(path, buffer.getvalue())


def main() -> None:
    """Measures both sides and prints the results."""
    with command_line.bad_input():
        table.check_counts("members", *_COUNTS)
        seeds = number_lists.whole_numbers("seeds", 0)
        budget = make_budget(DeviceConfig(**{name: getattr(FLAGS, name) for name in _COUNTS}), FLAGS.members)
        agent_settings = defaults.game_settings(FLAGS.game, AGENT).agent_settings
        tree = compile_game(FLAGS.game)
        opponents = make_opponents(tree, FLAGS.player, FLAGS.members)
    print(
        f"player {FLAGS.player}'s best responses to {budget.members} opponents in {tree.game_string}, seeds "
        f"{', '.join(map(str, seeds))}"
    )
    print(
        f"{budget.one.gradient_steps:,} gradient steps of one network, {budget.separate.gradient_steps:,} of "
        f"each separate one, with batches of {budget.one.batch_size:,}; "
        f"{' and '.join(f'{steps:,}' for steps in budget.env_steps)} env steps in total"
    )
    table.print_machine()
    sides = {}
    for name, make in ((_ONE, make_one), (_SEPARATE, make_separate)):
        train_all = make(tree, FLAGS.player, budget, agent_settings)
        sides[name] = measure(tree, FLAGS.player, opponents, train_all, seeds)
    print_sides(sides, opponents)
    if FLAGS.figure:
        title = f"{budget.members} best responses of player {FLAGS.player} in {tree.game_string}"
        write_figure(FLAGS.figure, title, sides, budget.one.gradient_steps)
        print(f"figure: {FLAGS.figure}")


if __name__ == "__main__":
    command_line.run(main)

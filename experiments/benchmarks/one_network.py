"""One conditional MPO network with many members against a network for each of them.

python -m experiments.benchmarks.one_network --game=leduc_poker --seeds=0,1,2 --figure=one_network.png

Every member is the best response of one player to an opponent of its own. The opponents are what exact PSRO
responds to in its first iterations, from uniform players on: the tasks that a population of best responses
consists of, all different, and the same in every run. Either side gets as many gradient steps in total, in
batches of the same size, as many env steps, and as much memory for replay: a separate network gets its share
of each. Both have the game's setting of the agent, with a learning rate that falls over a network's own
updates. Nothing in the setting had to change for many members.

What the one network saves is updates, each of which serves all members: separate networks that may do as
many each, with a member's share of the batch, end about where the one network does.

The relative gap is what a response lacks of the exact one's gain over the player's own mixture, the most
probable actions of the best snapshot so far being the response. Separate networks are trained one after the
other: on a CPU that is no slower than side by side. Compilation is shown apart.
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

from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.oracles.device.training import DeviceConfig
from acme_psro.system.files import write_atomically
from experiments import command_line, configs
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
flags.DEFINE_integer("player", 0, "Who learns.")
flags.DEFINE_integer("members", 8, "Opponents, each answered by a member, or by a network of its own.")
flags.DEFINE_integer("gradient_steps", 1600, "Updates of either side in total.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds; each trains both sides.")
flags.DEFINE_integer("snapshots", 25, "How often responses are evaluated on the way.")
flags.DEFINE_integer("num_envs", 1024, "Games side by side of a separate network.")
flags.DEFINE_integer("batch_size", 1024, "Decisions in an update of any network.")
flags.DEFINE_integer("buffer_size", 400_000, "Decisions that either side remembers in total.")
flags.DEFINE_integer("updates_per_round", 4, "Updates after each decision in every game.")
flags.DEFINE_string("figure", None, "Where to write a PNG of the gaps on the way.")

FLAGS = flags.FLAGS

_ONE, _SEPARATE = "one network", "separate networks"
_COLOURS = {_ONE: "#0072b2", _SEPARATE: "#d55e00"}
_MOST_OF_SEPARATE = 0.5
_COUNTS = ("gradient_steps", "num_envs", "batch_size", "buffer_size", "updates_per_round", "snapshots")


class Side(NamedTuple):
    """What was measured of a side.

    Attributes:
      gaps: `[seeds, snapshots, M]`, relative, of the best snapshot so far.
      seconds: of the training of all members; the median over seeds.
      compile_seconds: before the first.
    """

    gaps: np.ndarray
    seconds: float
    compile_seconds: float

    @property
    def means(self) -> np.ndarray:
        """`[seeds]`: the members' mean gap at the end of the budget."""
        return self.gaps[:, -1].mean(axis=-1)


def measure(
    tree: GameTree, player: int, opponents: Sequence[Opponent], train_all: TrainAll, seeds: Sequence[int]
) -> Side:
    """Trains once for each seed."""
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
    """Prints gaps at the end of the budget, means over seeds, and the bar."""
    members = [f"{index}" for index in range(len(opponents))]
    columns = ["gap % of member", *members, "mean", "worst seed", "seconds", "compilation"]
    rows = []
    for name, side in sides.items():
        gaps = (*side.gaps[:, -1].mean(axis=0), side.means.mean(), side.means.max())
        # Adding 0 makes zero of what rounds to minus zero.
        cells = [f"{round(100 * gap, 1) + 0.0:.1f}" for gap in gaps]
        rows.append([name, *cells, f"{side.seconds:.1f}", f"{side.compile_seconds:.1f}"])
    gains = [f"{opponent.best_gain:.2f}" for opponent in opponents]
    table.print_table(columns, [*rows, ["exact gain", *gains, "", "", "", ""]])
    one, separate = (100 * sides[name].means.mean() for name in (_ONE, _SEPARATE))
    what = f"one network's mean gap, {one:.1f} %, at most half of separate networks', {separate:.1f} %"
    table.print_bar(what, bool(one <= _MOST_OF_SEPARATE * separate))


def write_figure(path: str, title: str, sides: Mapping[str, Side], gradient_steps: int) -> None:
    """Writes a PNG: the mean gap of members against gradient steps in total, for each seed and all.

    Raises:
      OSError: it cannot be written.
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
    """Measures and prints."""
    with command_line.bad_input():
        table.check_counts("members", *_COUNTS)
        seeds = number_lists.whole_numbers("seeds", 0)
        budget = make_budget(DeviceConfig(**{name: getattr(FLAGS, name) for name in _COUNTS}), FLAGS.members)
        setting = configs.setting_for(FLAGS.game, AGENT).agent_settings
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
        train_all = make(tree, FLAGS.player, budget, setting)
        sides[name] = measure(tree, FLAGS.player, opponents, train_all, seeds)
    print_sides(sides, opponents)
    if FLAGS.figure:
        title = f"{budget.members} best responses of player {FLAGS.player} in {tree.game_string}"
        write_figure(FLAGS.figure, title, sides, budget.one.gradient_steps)
        print(f"figure: {FLAGS.figure}")


if __name__ == "__main__":
    command_line.run(main)

"""NashConv of a policy table: ours against OpenSpiel's C++ and Python.

python -m experiments.benchmarks.traversal --game=leduc_poker

Every side gets the policy in its preferred format. Neither the conversion nor the precomputation that
depends only on the game is timed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyspiel
from absl import flags

from acme_psro.commands import command_line
from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.loading import load_game
from acme_psro.games.tree import GameTree
from experiments.benchmarks.peers import open_spiel as open_spiel_peers
from experiments.benchmarks.shared import table

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string; a two-player zero-sum game.")
flags.DEFINE_integer("repetitions", 5, "Timed calls of each side; the median is reported.")
flags.DEFINE_integer("seed", 0, "Seed of the random policy.")

FLAGS = flags.FLAGS

_OURS, _CPP, _PYTHON = (
    "acme_psro nash_conv",
    "pyspiel.exploitability (C++)",
    "exploitability.nash_conv (Python)",
)
_AGREEMENT = 1e-6
_MOST_SECONDS = 5e-3
_LEAST_SPEEDUP = 20


def random_table(tree: GameTree, seed: int) -> np.ndarray:
    """Returns action probabilities `[I, A]`, uniformly distributed on the simplex of legal actions."""
    # Normalised exponential variables are uniform on the simplex.
    weights = np.random.default_rng(seed).exponential(size=tree.legal_actions.shape)
    weights = np.where(tree.legal_actions, weights, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def cpp_policy(tree: GameTree, probabilities: np.ndarray) -> pyspiel.TabularPolicy:
    """Converts a policy table `[I, A]` to a tabular policy of OpenSpiel's C++ side."""
    return pyspiel.TabularPolicy(
        {
            key: [(int(action), float(row[action])) for action in np.flatnonzero(legal)]
            for key, row, legal in zip(tree.keys, probabilities, tree.legal_actions, strict=True)
        }
    )


def make_sides(
    game: pyspiel.Game, tree: GameTree, probabilities: np.ndarray
) -> dict[str, Callable[[], float]]:
    """Returns functions that compute the NashConv of the table, by the name of the side."""
    cpp = cpp_policy(tree, probabilities)
    python = open_spiel_peers.tabular_policy(game, tree.keys, probabilities)
    return {
        _OURS: lambda: traverse.nash_conv(tree, probabilities),
        _CPP: lambda: pyspiel.exploitability(game, cpp) * tree.num_players,
        _PYTHON: lambda: open_spiel_peers.nash_conv(game, python),
    }


def compare(game: pyspiel.Game, tree: GameTree, name: str, probabilities: np.ndarray) -> None:
    """Measures all sides on one policy and prints the results."""
    sides = make_sides(game, tree, probabilities)
    # The first calls also do the precomputation that depends only on the game, so they are not timed.
    values = {side: nash_conv() for side, nash_conv in sides.items()}
    taken = table.medians(sides, FLAGS.repetitions)
    rows = [
        [
            side,
            f"{values[side]:.9f}",
            f"{abs(values[side] - values[_OURS]):.1e}",
            table.seconds(taken[side]),
            "" if side == _OURS else table.speedup(taken[_OURS], taken[side]),
        ]
        for side in sides
    ]
    table.print_table([f"{name} policy", "NashConv", "difference", "time", "ours is faster"], rows)
    largest = max(abs(value - values[_OURS]) for value in values.values())
    ratio = taken[_CPP] / taken[_OURS]
    has_bars = tree.game_string.startswith("leduc_poker")
    table.print_bar(f"all agree to {_AGREEMENT:g}, difference {largest:.1e}", largest <= _AGREEMENT)
    table.print_bar(
        f"under {table.seconds(_MOST_SECONDS)} in Leduc poker, {table.seconds(taken[_OURS])}",
        taken[_OURS] < _MOST_SECONDS if has_bars else None,
    )
    table.print_bar(
        f"{_LEAST_SPEEDUP} times faster than pyspiel.exploitability in Leduc poker, {ratio:,.1f} times",
        ratio >= _LEAST_SPEEDUP if has_bars else None,
    )
    print()


def main() -> None:
    """Compares on the uniform policy and on a random one."""
    with command_line.bad_input():
        table.check_counts("repetitions")
        tree = compile_game(FLAGS.game)
        if tree.num_players != 2 or not tree.zero_sum:
            raise ValueError(f"pyspiel.exploitability takes two-player zero-sum games, not {FLAGS.game}.")
        game = load_game(FLAGS.game)
        print(f"NashConv of a policy in {tree.game_string}, {tree.num_nodes:,} nodes; medians of ", end="")
        print(f"{FLAGS.repetitions} calls")
        table.print_machine()
        print()
        compare(game, tree, "uniform", tree.uniform_policy())
        compare(game, tree, "random", random_table(tree, FLAGS.seed))


if __name__ == "__main__":
    command_line.run(main)

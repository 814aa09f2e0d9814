"""Iterations and time to a gap: our regret minimisation against OpenSpiel's CFR+ in C++.

python -m experiments.benchmarks.regret_minimisation --game=leduc_poker

The gap is NashConv. Our time includes the compact form of the game and the computation of gaps. OpenSpiel's
is the time of its iterations only. A restricted game, which OpenSpiel does not have, follows for comparison.
"""

from __future__ import annotations

import time

import numpy as np
import pyspiel
from absl import flags

from acme_psro.commands import command_line
from acme_psro.games.compile import compile_game
from acme_psro.games.loading import load_game
from acme_psro.games.tree import GameTree
from acme_psro.restricted_games import cfr
from experiments.benchmarks.shared import table
from experiments.benchmarks.shared.random_choices import random_choices

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string; a two-player zero-sum game.")
flags.DEFINE_list("gaps", ["0.01", "0.001"], "NashConv to reach, from large to small.")
flags.DEFINE_integer("policies", 5, "Random pure policies whose actions the restricted game allows.")
flags.DEFINE_integer("seed", 0, "Seed of these policies.")

FLAGS = flags.FLAGS

# The peer's gap is computed whenever it has this many times more iterations, as ours is.
_CHECK_EVERY = 1.1
_LEAST_SPEEDUP = 20


def measure_ours(tree: GameTree, allowed: np.ndarray, gaps: list[float]) -> list[tuple[int, float]]:
    """Returns the iterations and seconds until each gap is reached."""
    solutions = [cfr.solve(tree, allowed, gap, max_seconds=600.0) for gap in gaps]
    return [(solution.iterations, solution.seconds) for solution in solutions]


def measure_peer(game: pyspiel.Game, gaps: list[float]) -> list[tuple[int, float]]:
    """Returns the iterations and seconds until OpenSpiel's CFR+ reaches each gap."""
    solver = pyspiel.CFRPlusSolver(game)
    reached: list[tuple[int, float]] = []
    iterations, next_check, spent = 0, 1, 0.0
    while len(reached) < len(gaps):
        began = time.perf_counter()
        solver.evaluate_and_update_policy()
        spent += time.perf_counter() - began
        iterations += 1
        if iterations < next_check:
            continue
        next_check = max(iterations + 1, int(iterations * _CHECK_EVERY))
        gap = pyspiel.exploitability(game, solver.average_policy()) * game.num_players()
        while len(reached) < len(gaps) and gap <= gaps[len(reached)]:
            reached.append((iterations, spent))
    return reached


def parse_gaps(texts: list[str]) -> list[float]:
    """Returns the gaps as numbers.

    Raises:
      ValueError: they are not positive numbers from large to small.
    """
    try:
        gaps = [float(text) for text in texts]
    except ValueError:
        gaps = []
    if not gaps or not all(gap > 0 for gap in gaps) or gaps != sorted(gaps, reverse=True):
        raise ValueError(f"--gaps takes positive numbers from large to small, not {','.join(texts)}.")
    return gaps


def main() -> None:
    """Compares in the whole game, and shows a restricted one."""
    with command_line.bad_input():
        table.check_counts("policies")
        gaps = parse_gaps(FLAGS.gaps)
        tree = compile_game(FLAGS.game)
        if tree.num_players != 2 or not tree.zero_sum:
            raise ValueError(f"pyspiel.exploitability takes two-player zero-sum games, not {FLAGS.game}.")
    print(f"Iterations and time to a NashConv in {tree.game_string}, {tree.num_nodes:,} nodes")
    table.print_machine()
    print()
    allowed = random_choices(tree, FLAGS.policies, FLAGS.seed)
    sides = {
        "acme_psro cfr.solve": measure_ours(tree, tree.legal_actions, gaps),
        "pyspiel.CFRPlusSolver (C++)": measure_peer(load_game(FLAGS.game), gaps),
        f"cfr.solve, actions of {FLAGS.policies} policies": measure_ours(tree, allowed, gaps),
    }
    rows = [
        [side, *(f"{count:,} in {table.seconds(spent)}" for count, spent in reached)]
        for side, reached in sides.items()
    ]
    table.print_table(["", *(f"NashConv {gap:g}" for gap in gaps)], rows)
    ours, theirs = sides["acme_psro cfr.solve"][-1][1], sides["pyspiel.CFRPlusSolver (C++)"][-1][1]
    table.print_bar(
        f"{_LEAST_SPEEDUP} times faster than OpenSpiel to {gaps[-1]:g} in Leduc poker, "
        f"{theirs / ours:,.1f} times",
        theirs / ours >= _LEAST_SPEEDUP if tree.game_string.startswith("leduc_poker") else None,
    )


if __name__ == "__main__":
    command_line.run(main)

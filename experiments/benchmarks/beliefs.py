"""Exact exploitability on a graph of merged states: time by the number of members of the mixtures.

python -m experiments.benchmarks.beliefs --game=phantom_ttt --members=1,8

Mixtures are uniform over random policies, beside uniform play. The time is that of both players' best
responses and of the mixtures' own returns. Compiling the game and the search's code is not timed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from absl import flags

from acme_psro.commands import command_line
from acme_psro.evaluation import beliefs
from acme_psro.games.compile_graph import compile_graph
from acme_psro.games.graph import GameGraph
from experiments.benchmarks.shared import table

flags.DEFINE_string("game", "phantom_ttt", "OpenSpiel game string; a two-player game.")
flags.DEFINE_string("members", "1,8", "Numbers of members of a mixture, separated by commas.")
flags.DEFINE_integer("max_nodes", 1_000_000, "Largest number of nodes of the graph.")
flags.DEFINE_integer("repetitions", 3, "Timed calls of each side; the median is reported.")
flags.DEFINE_integer("seed", 0, "Seed of the random policies.")

FLAGS = flags.FLAGS

# The most seconds for one policy, by the beginning of the game's name, and the most for eight members by one.
_MOST_SECONDS = {"phantom_ttt": 60.0, "dark_hex": 180.0}
_MOST_TIMES = 5.0


class Mixtures(NamedTuple):
    """A mixture for each player: policies `[P][K, O, A]` and their probabilities `[P][K]`."""

    tables: Sequence[np.ndarray]
    weights: Sequence[np.ndarray]


def random_mixtures(graph: GameGraph, members: int, seed: int) -> Mixtures:
    """Returns uniform mixtures of policies whose rows are uniformly distributed on the simplex."""
    rng = np.random.default_rng(seed)
    tables = []
    for _ in range(2):
        # Normalised exponential variables are uniform on the simplex.
        weights = rng.exponential(size=(members, *graph.legal_actions.shape)) * graph.legal_actions
        tables.append(weights / weights.sum(axis=2, keepdims=True))
    return Mixtures(tables, [np.full(members, 1 / members)] * 2)


def uniform_play(graph: GameGraph) -> Mixtures:
    """Returns mixtures of one policy, the uniform one."""
    return Mixtures([graph.uniform_policy()[None]] * 2, [np.ones(1)] * 2)


def parse_members(text: str) -> list[int]:
    """Returns the numbers of members.

    Raises:
      ValueError: an entry is no whole number, or below 1.
    """
    entries = [entry.strip() for entry in text.split(",")]
    if not all(entry.isdigit() and int(entry) for entry in entries):
        raise ValueError(f"--members takes whole numbers, 1 or more, separated by commas, not {text!r}.")
    return [int(entry) for entry in entries]


def measure(graph: GameGraph, cases: dict[str, Mixtures]) -> dict[str, float]:
    """Prints the figures of each case, and returns its median seconds."""
    seen: dict[str, dict[int, int]] = {name: {} for name in cases}
    gains: dict[str, np.ndarray] = {}

    def evaluate(name: str) -> None:
        def watch(progress: beliefs.Progress) -> None:
            seen[name][progress.player] = progress.information_states

        gains[name] = beliefs.gains(graph, *cases[name], on_progress=watch)

    # The first call loads compiled code.
    evaluate(next(iter(cases)))
    taken = table.medians({name: functools.partial(evaluate, name) for name in cases}, FLAGS.repetitions)
    rows = [
        [name, f"{gains[name].sum() / 2:.9f}", *(f"{seen[name][player]:,}" for player in range(2)), seconds]
        for name, seconds in ((name, table.seconds(taken[name])) for name in cases)
    ]
    table.print_table(
        ["mixtures", "exploitability", "states seen, player 0", "player 1", "time, both players"], rows
    )
    return taken


def print_bars(graph: GameGraph, one: float, eight: float | None) -> None:
    """Prints whether the bars are met by the seconds of one policy and of eight members."""
    for most in (most for name, most in _MOST_SECONDS.items() if graph.game_string.startswith(name)):
        table.print_bar(f"one policy in under {table.seconds(most)}, {table.seconds(one)}", one < most)
        if eight is not None:
            text = f"eight members in under {table.seconds(_MOST_TIMES * most)}, {table.seconds(eight)}"
            table.print_bar(text, eight < _MOST_TIMES * most)


def main() -> None:
    """Evaluates uniform play and random mixtures."""
    with command_line.bad_input():
        table.check_counts("repetitions", "max_nodes")
        members = parse_members(FLAGS.members)
        graph = compile_graph(FLAGS.game, FLAGS.max_nodes)
        cases = {"uniform play": uniform_play(graph)}
        cases |= {f"{count} random": random_mixtures(graph, count, FLAGS.seed) for count in members}
    print(
        f"exact exploitability in {graph.game_string}, {graph.num_nodes:,} nodes, {graph.num_edges:,} moves "
        f"and {graph.num_observations:,} observations; medians of {FLAGS.repetitions} calls"
    )
    table.print_machine()
    print()
    taken = measure(graph, cases)
    print_bars(graph, taken["uniform play"], taken.get("8 random"))


if __name__ == "__main__":
    command_line.run(main)

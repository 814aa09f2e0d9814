"""PSRO with exact best responses and the Nash meta-solver: ours against OpenSpiel's psro_v2.

python -m experiments.benchmarks.exact_psro --iterations=50

psro_v2 takes about ten minutes for 50 iterations of Leduc poker. The times of both sides exclude preparing
the game (ours: compiling it, psro_v2: listing its states) and evaluating the mixtures. Mixtures are evaluated
afterwards, for both sides by OpenSpiel's Python code. psro_v2 samples its payoffs, and ours are exact.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyspiel
from absl import flags

from acme_psro.commands import command_line
from acme_psro.evaluation.exact import evaluate_mixture
from acme_psro.games.compile import compile_game
from acme_psro.games.loading import load_game
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.oracles import exact
from acme_psro.policies.as_openspiel import table_policy
from acme_psro.policies.tabular import Policy, mixture_table
from acme_psro.psro import loop, meta_solving
from acme_psro.solvers import check_solver_fits, get_solver
from experiments.benchmarks.peers import open_spiel as open_spiel_peers
from experiments.benchmarks.shared import table

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string; a two-player zero-sum game.")
flags.DEFINE_integer("iterations", 50, "Iterations of ours.")
flags.DEFINE_integer(
    "peer_iterations", 50, "Iterations of psro_v2; sides are compared at the iterations that both reach."
)
flags.DEFINE_integer("sims_per_entry", 1000, "Games that psro_v2 plays for a cell of its payoff matrix.")
flags.DEFINE_integer("repetitions", 5, "Runs of ours; the median is reported.")
flags.DEFINE_integer("seed", 0, "Seed of psro_v2.")

FLAGS = flags.FLAGS

_MARKS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 150, 200)
_BAR_ITERATIONS, _LEAST_SPEEDUP = 50, 200
_TOLERANCE = 1e-7


class Curve(NamedTuple):
    """Times and exploitabilities of a side.

    Attributes:
      setup: seconds spent on preparing the game before PSRO begins.
      seconds: seconds from the beginning of PSRO to the end of each iteration.
      exploitability: exploitability after the iterations that are shown, by iteration.
    """

    setup: float
    seconds: list[float]
    exploitability: dict[int, float]


def our_run(tree: GameTree, iterations: int) -> Iterator[tuple[float, loop.PSROState[Policy, np.ndarray]]]:
    """Yields the seconds so far and the state after each iteration; stops when no player gains."""
    # The copy drops the values that earlier runs cached on the tree, because computing them counts as time.
    tree = dataclasses.replace(tree)
    meta_game = ExactMetaGame(tree)
    psro = meta_solving.make_loop(meta_game, get_solver("nash"))
    began = time.perf_counter()

    def converged(state: loop.PSROState[Policy, np.ndarray]) -> bool:
        figures = evaluate_mixture(tree, state.populations, state.meta_strategy)
        return figures.per_player_gain.max() <= _TOLERANCE

    run = loop.run(
        loop.initialise(meta_game, psro),
        0,
        iterations,
        oracle=exact.make_oracle(tree, _TOLERANCE),
        meta_game=meta_game,
        loop=psro,
        converged=converged,
    )
    for state in run:
        yield time.perf_counter() - began, state


def measure_ours(game: pyspiel.Game, iterations: int, repetitions: int) -> Curve:
    """Measures our curve; its times are medians over the repetitions."""
    began = time.perf_counter()
    tree = compile_game(FLAGS.game, cache=False)
    setup = time.perf_counter() - began
    runs = [list(our_run(tree, iterations)) for _ in range(repetitions)]
    seconds = [statistics.median(at for at, _ in steps) for steps in zip(*runs, strict=True)]
    shown = {}
    for _, state in runs[0]:
        if state.iteration in _marks(len(seconds)):
            mixture = mixture_table(tree, state.populations, state.meta_strategy)
            policy = table_policy(tree, mixture)
            shown[state.iteration] = open_spiel_peers.nash_conv(game, policy) / tree.num_players
    return Curve(setup, seconds, shown)


def measure_peer(game: pyspiel.Game, iterations: int, sims_per_entry: int, seed: int) -> Curve:
    """Measures the curve of psro_v2 in one run."""
    (oracles,) = open_spiel_peers.require("best_response_oracle")
    open_spiel_peers.require("psro_v2")
    open_spiel_peers.seed_everything(seed)
    began = time.perf_counter()
    oracle = oracles.BestResponseOracle(game=game)
    setup = time.perf_counter() - began
    began = time.perf_counter()
    solver = open_spiel_peers.make_solver(
        game, oracle, open_spiel_peers.uniform_policies(game), sims_per_entry
    )
    taken = time.perf_counter() - began
    seconds: list[float] = []
    kept: dict[int, tuple[list[list[Any]], list[np.ndarray]]] = {}
    for iteration in range(1, iterations + 1):
        began = time.perf_counter()
        with open_spiel_peers.quiet():
            solver.iteration()
        taken += time.perf_counter() - began
        seconds.append(taken)
        if iteration in _marks(iterations):
            kept[iteration] = ([list(p) for p in solver.get_policies()], solver.get_meta_strategies())
        if iteration % 5 == 0:
            print(f"psro_v2: iteration {iteration}, {taken:,.1f} s", file=sys.stderr, flush=True)
    evaluator = open_spiel_peers.Evaluator(game)
    shown = {iteration: evaluator.exploitability(*mixture) for iteration, mixture in kept.items()}
    return Curve(setup, seconds, shown)


def _marks(iterations: int) -> set[int]:
    """Returns the iterations at which exploitability is shown."""
    return {mark for mark in _MARKS if mark <= iterations} | {iterations}


def print_curves(ours: Curve, peer: Curve) -> None:
    """Prints a table of both sides at all iterations that are shown for one of them."""
    rows = []
    for mark in sorted(ours.exploitability | peer.exploitability):
        sides = [curve.seconds[mark - 1] if mark <= len(curve.seconds) else None for curve in (ours, peer)]
        both = None not in sides
        rows.append(
            [
                str(mark),
                *("-" if side is None else table.seconds(side) for side in sides),
                table.speedup(*[side for side in sides if side is not None]) if both else "-",
                *(_shown(curve, mark) for curve in (ours, peer)),
            ]
        )
    columns = ["iterations", "acme_psro", "psro_v2", "ours is faster", "exploitability", "psro_v2's"]
    table.print_table(columns, rows)


def _shown(curve: Curve, mark: int) -> str:
    return f"{curve.exploitability[mark]:.6f}" if mark in curve.exploitability else "-"


def print_verdict(ours: Curve, peer: Curve) -> None:
    """Prints the bar at the last iteration that both sides reached."""
    common = min(len(ours.seconds), len(peer.seconds))
    ratio = peer.seconds[common - 1] / ours.seconds[common - 1]
    what = f"{_LEAST_SPEEDUP} times faster at {_BAR_ITERATIONS} iterations of Leduc poker"
    if common == _BAR_ITERATIONS and FLAGS.game.startswith("leduc_poker"):
        table.print_bar(f"{what}, {ratio:,.0f} times", ratio >= _LEAST_SPEEDUP)
    else:
        table.print_bar(f"{what}; both sides did {common} here, {ratio:,.0f} times", None)


def main() -> None:
    """Measures both sides and prints the results."""
    with command_line.bad_input():
        table.check_counts("iterations", "peer_iterations", "sims_per_entry", "repetitions")
        game = load_game(FLAGS.game)
        tree = compile_game(FLAGS.game)
        check_solver_fits("nash", tree.num_players, tree.zero_sum)
    # Checked before anything is measured, because these modules may not be installed.
    open_spiel_peers.require("psro_v2", "best_response_oracle")
    print(f"PSRO with exact best responses, nash, {tree.game_string}")
    table.print_machine()
    ours = measure_ours(game, FLAGS.iterations, FLAGS.repetitions)
    peer = measure_peer(game, FLAGS.peer_iterations, FLAGS.sims_per_entry, FLAGS.seed)
    print(
        f"ours: exact payoffs, game compiled in {table.seconds(ours.setup)}, median of {FLAGS.repetitions} "
        f"runs; psro_v2: {FLAGS.sims_per_entry:,} games a cell, states listed in "
        f"{table.seconds(peer.setup)}, one run"
    )
    if len(ours.seconds) < FLAGS.iterations:
        print(f"ours converged after {len(ours.seconds)} iterations: no player gains by a best response")
    print()
    print_curves(ours, peer)
    print_verdict(ours, peer)


if __name__ == "__main__":
    command_line.run(main)

"""JPSRO with exact responses: ours against OpenSpiel's `jpsro`, iterations and seconds to an equilibrium.

python -m experiments.benchmarks.jpsro --figures=docs/results/jpsro.json

Both sides solve meta-games by maximum Gini (C)CE and stop when the players' gains by exact best responses sum
to less than `--gap`. The times of both sides exclude preparing the game: ours is compiled, theirs is loaded,
and both have solved a matrix game before. Of runs of less than five seconds the fastest of five counts.
Of OpenSpiel's loop only the functions that training needs are called, without those of its second, evaluating
meta-solver. It needs cvxpy. Correlated equilibria are sought by responses of the largest gaps, as OpenSpiel
does, and by all responses, on our side alone. Games of the file of figures that are not measured now keep
their rows.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from acme_psro.commands import command_line
from acme_psro.games.compile import compile_game
from acme_psro.games.loading import load_game
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.meta_game.payoffs import value
from acme_psro.oracles import exact
from acme_psro.psro import joint, loop
from acme_psro.solvers import get_solver
from acme_psro.solvers.properties import properties_of
from acme_psro.system.files import write_atomically
from experiments.benchmarks.shared import table

GAMES = (
    "kuhn_poker(players=3)",
    "sheriff(num_rounds=1)",
    "sheriff(item_penalty=1.0,item_value=5.0,max_bribe=2,max_items=3,num_rounds=2,sheriff_penalty=1.0)",
    "trade_comm(num_items=3)",
    "tiny_bridge_2p",
    "goofspiel(players=2,num_cards=4,points_order=descending,returns_type=total_points,imp_info=True)",
    "matrix_bos",
    "matrix_shapleys_game",
)

flags.DEFINE_multi_string(
    "games", None, "OpenSpiel game string, may be repeated; by default a list of small ones."
)
flags.DEFINE_float("gap", 1e-4, "Sum of the players' gains at which a side is done.", lower_bound=0.0)
flags.DEFINE_float("seconds", 120.0, "Limit on the time of a side for each game and solver.")
flags.DEFINE_integer("most", 200, "Limit on the iterations of a side.")
flags.DEFINE_string("figures", None, "File of figures to write, as those in docs/results.")

FLAGS = flags.FLAGS

_SOLVERS = {"cce": ("max_gini_cce", "mgcce"), "ce": ("max_gini_ce", "mgce")}
# Names of the runs, with the kind of equilibrium and the recommendations to which players respond.
_RUNS = {"CCE": ("cce", "largest_gap"), "CE": ("ce", "largest_gap"), "CE, all responses": ("ce", "all")}
_LEAST_SPEEDUP = 20
_WARM_UP = "matrix_bos"
# Runs that take less are repeated so often.
_SHORT, _REPEATS = 5.0, 5
_PEER = "open_spiel.python.algorithms.jpsro"


class Ending(NamedTuple):
    """A side's last iteration.

    Attributes:
      iterations: completed iterations.
      seconds: seconds from the first policies to the gap of the last meta-strategy.
      gap: the sum of the players' gains in the end.
      returns: the players' expected returns in the end.
    """

    iterations: int
    seconds: float
    gap: float
    returns: tuple[float, ...]


def fastest(run: Callable[[], Ending]) -> Ending:
    """Returns the fastest ending of a few runs; one that takes long is not repeated."""
    best = run()
    for _ in range(_REPEATS - 1):
        if best.seconds >= _SHORT:
            break
        best = min(best, run(), key=lambda ending: ending.seconds)
    return best


def run_ours(
    tree: GameTree,
    kind: str,
    gap: float,
    most: int,
    seconds: float = float("inf"),
    ce_responses: str = "largest_gap",
) -> Ending:
    """Runs our side.

    Args:
      tree: the compiled game.
      kind: "cce" or "ce".
      gap: the gap at which it ends.
      most: limit on its iterations.
      seconds: limit on its time, after which no further iteration begins.
      ce_responses: to which recommendations players respond if the kind is "ce".
    """
    # The copy drops the values that earlier runs cached on the tree, because computing them counts as time.
    tree = dataclasses.replace(tree)
    name, _ = _SOLVERS[kind]
    meta_game, oracle = ExactMetaGame(tree), exact.make_oracle(tree)
    jpsro = joint.make_loop(tree, meta_game, get_solver(name), properties_of(name).concept, ce_responses)
    began = time.perf_counter()
    state = loop.initialise(meta_game, jpsro)
    while state.figures[f"{kind}_gap"] >= gap and state.iteration < most:
        if time.perf_counter() - began > seconds:
            break
        key = loop.iteration_key(0, state.iteration)
        state = loop.step(state, key, oracle=oracle, meta_game=meta_game, loop=jpsro)
    taken = time.perf_counter() - began
    returns = value(state.payoffs, joint.require_joint(state.meta_strategy))
    return Ending(state.iteration, taken, state.figures[f"{kind}_gap"], tuple(returns.tolist()))


def run_theirs(game: str, kind: str, gap: float, most: int, seconds: float) -> Ending:
    """Runs OpenSpiel's side; the arguments are those of ours, and a limit on its time in seconds."""
    began = time.perf_counter()
    ending = Ending(0, 0.0, float("inf"), ())
    for iteration, (found, returns) in enumerate(_their_iterations(game, kind)):
        ending = Ending(iteration, time.perf_counter() - began, found, returns)
        if found < gap or iteration >= most or ending.seconds > seconds:
            break
    return ending


def _their_iterations(name: str, kind: str) -> Iterator[tuple[float, tuple[float, ...]]]:
    """Yields gap and returns of OpenSpiel's meta-strategy after each iteration, and before the first one."""
    jpsro = importlib.import_module(_PEER)
    game = load_game(name)
    _, solver = _SOLVERS[kind]
    initial = jpsro.initialize(game, solver, "uni", "uniform", False, "largest_gap")
    _, repeats, policies, joint_policies, returns, meta_games, dists, _, values, *_ = initial
    iteration = 0
    while True:
        new, gaps = jpsro.find_best_response(
            game, dists[-1], meta_games[-1], iteration, joint_policies, kind, "all", -1.0
        )
        yield float(sum(map(sum, gaps))), tuple(float(each) for each in values[-1])
        jpsro.add_new_policies(new, gaps, repeats, policies, joint_policies, returns, game, "largest_gap")
        jpsro.add_meta_game(meta_games, policies, returns)
        jpsro.add_meta_dist(dists, values, solver, meta_games[-1], repeats, False)
        iteration += 1


def main() -> None:
    """Measures both sides in all games and prints a table."""
    with command_line.bad_input():
        for name in FLAGS.games or ():
            load_game(name)
    try:
        importlib.import_module(_PEER)
    except ImportError as error:
        command_line.refuse(
            f"OpenSpiel's jpsro, the other side, cannot be imported ({error}): pip install cvxpy"
        )
    table.print_machine()
    rows, verdicts = [], []
    limits = (FLAGS.gap, FLAGS.most, FLAGS.seconds)
    for kind in _SOLVERS:
        run_ours(compile_game(_WARM_UP), kind, *limits)
        run_theirs(_WARM_UP, kind, *limits)
    for name in FLAGS.games or GAMES:
        tree = compile_game(name)
        for run, (kind, responses) in _RUNS.items():
            ours = fastest(functools.partial(run_ours, tree, kind, *limits, responses))
            theirs = None
            if responses == "largest_gap":
                theirs = fastest(functools.partial(run_theirs, name, kind, *limits))
                is_done = theirs.gap < FLAGS.gap
                # A peer that was cut short would have taken longer, and more iterations.
                faster = theirs.seconds / ours.seconds
                fewer = ours.iterations <= theirs.iterations or not is_done
                verdicts.append(ours.gap < FLAGS.gap and faster >= _LEAST_SPEEDUP and fewer)
                print(f"{name}, {run}: {faster:.0f} times", flush=True)
            rows.append((name, run, ours, theirs))
    columns = [
        "game",
        *(f"{side} {each}" for side in ("ours", "jpsro") for each in ("iterations", "seconds", "gap")),
    ]
    table.print_table(
        columns, [[f"{name}, {run}", *_cells(ours), *_cells(theirs)] for name, run, ours, theirs in rows]
    )
    if FLAGS.figures:
        path = Path(FLAGS.figures)
        before = json.loads(path.read_text()) if path.is_file() else {}
        figures = make_figures(rows, before, FLAGS.gap)
        write_atomically(str(path), (json.dumps(figures, indent=2) + "\n").encode())
    table.print_bar(
        f"gap {FLAGS.gap:g} in no more iterations and {_LEAST_SPEEDUP} times less time, "
        f"{sum(verdicts)} of {len(verdicts)}",
        all(verdicts),
    )


def make_figures(
    rows: Sequence[tuple[str, str, Ending, Ending | None]], before: Mapping[str, Any], gap: float
) -> dict[str, Any]:
    """Returns the file of figures: the one before, with the rows that were measured now.

    Args:
      rows: (game, run, our ending, OpenSpiel's ending if it has such a run).
      before: the file so far.
      gap: the gap at which a side is done.
    """
    made = {(row["cells"][0], row["cells"][1]): row for row in before.get("rows", [])}
    for name, run, ours, theirs in rows:
        cells = [f"`{name}`", run]
        figures: dict[str, float] = {}
        for side, ending in (("ours", ours), ("peer", theirs)):
            if ending is None:
                cells.append("")
                continue
            figures |= {f"{side}_{key}": value for key, value in ending._asdict().items() if key != "returns"}
            cut = "" if ending.gap < gap else f", cut short at a gap of {{{side}_gap:.2g}}"
            cells.append(f"{{{side}_iterations}} iterations, {{{side}_seconds:.2g}} s{cut}")
        if theirs is not None:
            figures["ratio"] = theirs.seconds / ours.seconds
        at_least = "" if theirs is None or theirs.gap < gap else "over "
        cells.append("" if theirs is None else f"{at_least}{{ratio:,.0f}}")
        made[cells[0], run] = {"cells": cells, "figures": figures}
    kept = {key: value for key, value in before.items() if key not in ("rows", "columns")}
    columns = ["game", "equilibrium", "ours", "OpenSpiel's `jpsro`", "times as fast"]
    return {**kept, "columns": columns, "rows": list(made.values())}


def _cells(ending: Ending | None) -> list[str]:
    if ending is None:
        return [""] * 3
    return [str(ending.iterations), f"{ending.seconds:.3f}", f"{ending.gap:.1e}"]


if __name__ == "__main__":
    command_line.run(main)

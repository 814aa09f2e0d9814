"""Exact PSRO with every meta-solver in the games of the SHOR paper (Li et al. 2026, arXiv:2602.16928).

python -m experiments.benchmarks.shor_games --figures=docs/results/shor_games.json
--picture=docs/shor_games.png

Eight of the paper's eleven games are named in its text. The others are labels of a figure; two-player Kuhn
poker, Liar's Dice with 4 sides and Goofspiel with 3 cards take their place. Each cell of the table is one
run. Runs end after the iterations of the paper, when their time is over, or when no response is new. Games
of the file of figures that are not measured now keep their rows. Best responses of the paper draw evenly
among equally good actions; ours take one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from acme_psro.commands import command_line
from acme_psro.evaluation.exact import evaluate_mixture
from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.oracles import exact
from acme_psro.policies.meta_strategy import MetaStrategy
from acme_psro.policies.tabular import Policy
from acme_psro.psro import loop, meta_solving
from acme_psro.solvers import SOLVERS, check_solver_fits, get_solver
from acme_psro.solvers.properties import fits, properties_of
from acme_psro.system.files import write_atomically
from experiments.benchmarks.shared import table

_GOOFSPIEL = "goofspiel(imp_info=True,num_cards={},points_order=descending)"
_DICE = "liars_dice(numdice=1,dice_sides={})"
GAMES = {
    "2-player Kuhn": "kuhn_poker",
    "3-player Kuhn": "kuhn_poker(players=3)",
    "4-player Kuhn": "kuhn_poker(players=4)",
    "2-player Leduc": "leduc_poker",
    "3-player Leduc": "leduc_poker(players=3)",
    "3-card Goofspiel": _GOOFSPIEL.format(3),
    "4-card Goofspiel": _GOOFSPIEL.format(4),
    "5-card Goofspiel": _GOOFSPIEL.format(5),
    "4-sided Liar's Dice": _DICE.format(4),
    "5-sided Liar's Dice": _DICE.format(5),
    "6-sided Liar's Dice": _DICE.format(6),
}
# Compiling it takes a minute, and 100 iterations take minutes more.
_LARGE = ("3-player Leduc",)
# The solver that reports, with another one to train against, as the paper has it.
_REPORTING, _TRAINING = "shor_evaluation", "shor"

flags.DEFINE_list("games", None, "Names of games; all but those that take minutes by default.")
flags.DEFINE_list("solvers", None, "Meta-solvers; all that return marginals by default.")
flags.DEFINE_integer("iterations", 100, "Iterations of PSRO.")
flags.DEFINE_float("seconds", 5.0, "Seconds of processor time for a run.")
flags.DEFINE_string("figures", None, "File of figures to write, as those in docs/results.")
flags.DEFINE_string("picture", None, "PNG to write: exploitability by iteration, a panel for each game.")

FLAGS = flags.FLAGS

_MARKS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 70, 100)
_TOLERANCE = 1e-9
_LEAST_SHOWN = 1e-5
_COLUMNS = 4


class Run(NamedTuple):
    """Outcome of a run.

    Attributes:
      curve: (iteration, exploitability) at some iterations, the last one among them.
      end: "" if it made all iterations, "time" if its time was over, "done" if no response was new, and
        "no answer" if the meta-solver gave up.
    """

    curve: list[tuple[int, float]]
    end: str


def measure(tree: GameTree, solver: str, iterations: int, seconds: float) -> dict[str, Run]:
    """Returns a run of PSRO; if its meta-solver only trains, with what the reporting one makes of it."""
    meta_game = ExactMetaGame(tree)
    psro = meta_solving.make_loop(meta_game, get_solver(solver))
    began, curve, end = time.process_time(), [], "done"
    state = loop.initialise(meta_game, psro)
    try:
        for reached in _states(tree, psro, meta_game, state, iterations):
            state = reached
            if time.process_time() - began > seconds:
                end = "time"
                break
            if state.iteration in _MARKS:
                curve.append((state.iteration, _exploitability(tree, state, state.meta_strategy)))
    except RuntimeError:
        # The meta-solver found no answer in the next iteration.
        end = "no answer"
    if state.iteration == iterations:
        end = ""
    if not curve or curve[-1][0] != state.iteration:
        curve.append((state.iteration, _exploitability(tree, state, state.meta_strategy)))
    runs = {solver: Run(curve, end)}
    if solver == _TRAINING:
        reported = get_solver(_REPORTING)(state.payoffs)
        runs[_REPORTING] = Run([(state.iteration, _exploitability(tree, state, reported))], end)
    return runs


def _states(
    tree: GameTree,
    psro: loop.Loop[Policy, np.ndarray],
    meta_game: ExactMetaGame,
    state: loop.PSROState[Policy, np.ndarray],
    iterations: int,
) -> Iterator[loop.PSROState[Policy, np.ndarray]]:
    return loop.run(
        state,
        0,
        iterations,
        oracle=exact.make_oracle(tree, _TOLERANCE),
        meta_game=meta_game,
        loop=psro,
        converged=lambda state: False,
        is_repeatable=True,
    )


def _exploitability(
    tree: GameTree, state: loop.PSROState[Policy, np.ndarray], meta_strategy: MetaStrategy
) -> float:
    return float(evaluate_mixture(tree, state.populations, meta_strategy).exploitability)


def make_figures(runs: Mapping[str, Mapping[str, Run]], before: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the file of figures: the one before, with the runs that were measured now."""
    curves = {name: dict(rows) for name, rows in before.get("curves", {}).items()}
    for game, by_solver in runs.items():
        measured = {solver: {"curve": run.curve, "end": run.end} for solver, run in by_solver.items()}
        curves[game] = {**curves.get(game, {}), **measured}
    curves = {game: curves[game] for game in GAMES if game in curves}
    solvers = [name for name in SOLVERS if any(name in by_solver for by_solver in curves.values())]
    rows = [_make_row(game, by_solver, solvers) for game, by_solver in curves.items()]
    kept = {key: value for key, value in before.items() if key not in ("curves", "rows", "columns")}
    return {**kept, "columns": ["game", *(f"`{name}`" for name in solvers)], "rows": rows, "curves": curves}


def _make_row(game: str, by_solver: Mapping[str, Any], solvers: Sequence[str]) -> dict[str, Any]:
    """Returns a row: exploitability at the end, with the iterations of runs that ended early."""
    cells, figures = [game], {}
    for solver in solvers:
        if solver not in by_solver:
            cells.append("")
            continue
        iteration, exploitability = by_solver[solver]["curve"][-1]
        figures[solver], figures[f"{solver}_at"] = exploitability, iteration
        value = "0" if exploitability < _LEAST_SHOWN else f"{{{solver}:.2g}}"
        end = by_solver[solver]["end"]
        cells.append(value + (f" ({end}, {{{solver}_at}})" if end else ""))
    return {"cells": cells, "figures": figures}


def draw(path: str, curves: Mapping[str, Any]) -> None:
    """Writes a PNG of exploitability by iteration, a panel for each game."""
    import io

    from matplotlib.figure import Figure

    height = -(-len(curves) // _COLUMNS)
    figure = Figure(figsize=(3.3 * _COLUMNS, 2.7 * height + 0.8), layout="constrained")
    panels = figure.subplots(height, _COLUMNS, squeeze=False).ravel()
    drawn = [name for name in SOLVERS if name != _REPORTING]
    for axes, (game, by_solver) in zip(panels, curves.items(), strict=False):
        for index, solver in enumerate(drawn):
            if solver in by_solver:
                iterations, values = np.array(by_solver[solver]["curve"]).T
                axes.plot(
                    iterations,
                    np.maximum(values, _LEAST_SHOWN),
                    color=f"C{index % 10}",
                    linestyle="-" if index < 10 else ":",
                    marker=".",
                    linewidth=1.2,
                    label=solver,
                )
        axes.set(title=game, xscale="log", yscale="log")
        axes.grid(True, which="major", linewidth=0.3)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    lines = {line.get_label(): line for axes in panels for line in axes.get_lines()}
    title = "exploitability (game units) by iteration of PSRO"
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=6, title=title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomically(path, buffer.getvalue())


def main() -> None:
    """Measures the games, prints a table, and writes figures and picture."""
    with command_line.bad_input():
        table.check_counts("iterations")
        names = FLAGS.games or [name for name in GAMES if name not in _LARGE]
        if unknown := [name for name in names if name not in GAMES]:
            raise ValueError(f"--games={unknown[0]} is not known; use some of {', '.join(GAMES)}.")
        solvers = FLAGS.solvers or [
            name for name in SOLVERS if not properties_of(name).is_joint and name != _REPORTING
        ]
        for solver in solvers:
            get_solver(solver)
            if FLAGS.solvers:
                check_solver_fits(solver, 2, True)
    table.print_machine()
    runs: dict[str, dict[str, Run]] = {}
    for name in names:
        tree = compile_game(GAMES[name])
        fitting = [each for each in solvers if fits(each, tree.num_players, tree.zero_sum)]
        runs[name] = {}
        for each in fitting:
            runs[name].update(measure(tree, each, FLAGS.iterations, FLAGS.seconds))
        print(f"{name}: " + ", ".join(_describe(each, run) for each, run in runs[name].items()), flush=True)
    path = Path(FLAGS.figures) if FLAGS.figures else None
    before = json.loads(path.read_text()) if path is not None and path.is_file() else {}
    figures = make_figures(runs, before)
    if path is not None:
        write_atomically(str(path), (json.dumps(figures, indent=2) + "\n").encode())
    if FLAGS.picture:
        draw(FLAGS.picture, figures["curves"])


def _describe(solver: str, run: Run) -> str:
    iteration, exploitability = run.curve[-1]
    return f"{solver} {exploitability:.3g} at {iteration}{f' ({run.end})' if run.end else ''}"


if __name__ == "__main__":
    command_line.run(main)

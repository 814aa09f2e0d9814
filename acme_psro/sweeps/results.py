"""Results of a sweep's cells: means over seeds with their bands, as `sweep.csv` and as lines of text."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from acme_psro.display import bands
from acme_psro.display.bands import Curve
from acme_psro.display.formats import format_duration, measure_of, name_column
from acme_psro.display.seeds_report import SeedProgress, describe_end
from acme_psro.population_runs.metrics import concept_of, no_player_gains
from acme_psro.sweeps.cells import Cell
from acme_psro.sweeps.directory import is_finished
from acme_psro.sweeps.jobs import SweepRun
from acme_psro.sweeps.kinds import Kind
from acme_psro.system.files import write_atomically

# Columns of a run's metrics that are averaged beside the measure of convergence, with their names.
_COSTS = {"wall_seconds": "seconds", "env_steps": "env_steps"}
_FIGURES = ("seeds", "mean", "std", "low", "high", *_COSTS.values())


class CellResult(NamedTuple):
    """Results of a cell so far.

    Attributes:
      cell: the cell.
      measure: the column of metrics that measures convergence; empty if no run has a row yet.
      seeds: the runs that have rows and have not failed.
      finished: the number of runs that are done.
    """

    cell: Cell
    measure: str
    seeds: tuple[SeedProgress, ...]
    finished: int


def find_results(
    kind: Kind, cells: Sequence[Cell], runs: Sequence[SweepRun], failed: Mapping[str, str]
) -> list[CellResult]:
    """Returns the result of each cell, as far as its runs are.

    Args:
      kind: the command that carries out each run.
      cells: the cells.
      runs: their runs.
      failed: the reasons of runs that have failed, by name. A run that ended too early says nothing of what
        follows, and is left out.
    """
    results = []
    for cell in cells:
        own = [run for run in runs if run.cell is cell]
        seeds = [_progress_of(kind, run) for run in own if run.name not in failed]
        known = tuple(seed for seed in seeds if seed is not None)
        measure = measure_of(known[0].metrics[-1]) if known else ""
        results.append(CellResult(cell, measure, known, sum(is_finished(run.directory) for run in own)))
    return results


def _progress_of(kind: Kind, run: SweepRun) -> SeedProgress | None:
    rows = run.rows()
    if not rows:
        return None
    is_done = is_finished(run.directory)
    # A run that has ended before its last iteration would find the same in each further one.
    holds = is_done and kind.progress(run.cell.config, run.directory, rows).number < run.cell.total
    config = run.cell.config
    converged = holds or no_player_gains(rows[-1], config.get("tolerance", 0.0), concept_of(config))
    return SeedProgress(run.seed, rows, "done" if is_done else "still running", converged)


def curves_of(result: CellResult, axis: str, divisor: float = 1.0) -> list[Curve]:
    """Returns the measure of convergence of each seed over a column of metrics."""
    return [
        Curve(
            [row[axis] / divisor for row in seed.metrics],
            [row.get(result.measure, math.nan) for row in seed.metrics],
            seed.has_converged,
        )
        for seed in result.seeds
    ]


def write_table(path: Path, keys: Sequence[str], results: Sequence[CellResult]) -> None:
    """Writes `sweep.csv`: a row for each cell and iteration, in which all of its seeds are known.

    Beside the cell and its values of the grid there are the measure of convergence and the iteration, the
    number of seeds, the measure's mean, standard deviation (nan with one seed) and 95 % confidence band, and
    the means of the seconds and of the environment steps so far.

    Args:
      path: the file, replaced atomically.
      keys: the keys of the grid.
      results: the cells' results.

    Raises:
      OSError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["cell", *keys, "measure", "iteration", *_FIGURES])
    for result in results:
        values = [result.cell.varied[key] for key in keys]
        about = [value if isinstance(value, str) else json.dumps(value) for value in values]
        for row in table_rows(result):
            figures = [repr(int(row["iteration"])), repr(int(row["seeds"]))]
            figures += [repr(row[name]) for name in _FIGURES[1:]]
            writer.writerow([result.cell.name, *about, result.measure, *figures])
    write_atomically(path, text.getvalue())


def table_rows(result: CellResult) -> list[dict[str, float]]:
    """Returns the figures of a cell, one row an iteration."""
    if not result.seeds:
        return []
    curves = curves_of(result, "iteration")
    band = bands.make_band(result.measure, curves)
    values = np.stack([bands.values_at(curve, band.x) for curve in curves])
    deviation = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(len(band.x), math.nan)
    costs = {}
    for column, name in _COSTS.items():
        spent = [
            curve._replace(y=[row.get(column, math.nan) for row in seed.metrics])
            for curve, seed in zip(curves, result.seeds, strict=True)
        ]
        costs[name] = np.mean([bands.values_at(curve, band.x) for curve in spent], axis=0)
    return [
        {
            "iteration": float(band.x[index]),
            "seeds": float(len(curves)),
            "mean": float(band.mean[index]),
            "std": float(deviation[index]),
            "low": float(band.low[index]),
            "high": float(band.high[index]),
            **{name: float(spent[index]) for name, spent in costs.items()},
        }
        for index in range(len(band.x))
    ]


def describe_results(results: Sequence[CellResult], labels: Sequence[str]) -> list[str]:
    """Returns the final values of all cells as the lines of a table for the screen."""
    rows: list[tuple[str, ...]] = [("cell", "measure", "mean ± 95 %", "seeds", "iterations", "seconds a run")]
    rows += [_describe(result, label) for result, label in zip(results, labels, strict=True)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _describe(result: CellResult, label: str) -> tuple[str, ...]:
    if not result.seeds:
        return (label, "-", "-", "0", "-", "-")
    last = [seed.metrics[-1] for seed in result.seeds]
    return (
        label,
        name_column(result.measure),
        describe_end(result.seeds, result.measure),
        str(len(result.seeds)),
        describe_iterations(result),
        format_duration(sum(row["wall_seconds"] for row in last) / len(last)),
    )


def describe_iterations(result: CellResult) -> str:
    """Returns the iterations that the runs of a cell have done, such as `8` or `5 to 8`."""
    last = [int(seed.metrics[-1]["iteration"]) for seed in result.seeds]
    return str(max(last)) if min(last) == max(last) else f"{min(last)} to {max(last)}"

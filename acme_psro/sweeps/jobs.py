"""Runs of a sweep as jobs: the child process of each run, and its progress as the run's files tell it."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from acme_psro.display import formats
from acme_psro.neupl.config import find_files
from acme_psro.sweeps.cells import Cell
from acme_psro.sweeps.directory import FINISHED, is_finished, run_directory_of
from acme_psro.sweeps.kinds import Kind
from acme_psro.system import tables
from acme_psro.system.jobs import Job
from acme_psro.system.tables import Row

# The module of the child process: it begins the run, or goes on with it, and records that it is done.
_CHILD = "acme_psro.commands.sweep_child"


class SweepRun(NamedTuple):
    """One run of a sweep.

    Attributes:
      cell: the cell to which it belongs.
      seed: its seed.
      directory: its directory.
    """

    cell: Cell
    seed: int
    directory: Path

    @property
    def name(self) -> str:
        """The run's name in messages, which is also the path of its directory in that of the sweep."""
        return f"{self.cell.name}/{self.directory.name}"

    def rows(self) -> list[Row]:
        """Returns the rows of metrics so far, those of which the measure of convergence is known."""
        try:
            rows = tables.read(self.directory / "metrics.csv")
        except (OSError, ValueError):
            return []
        return [row for row in rows if math.isfinite(row.get(formats.measure_of(row), math.nan))]


def make_runs(root: Path, cells: Sequence[Cell], seeds: Sequence[int]) -> list[SweepRun]:
    """Returns the runs of a sweep, all cells of the first seed first.

    Every cell then has a first result early, and the others narrow its band.
    """
    return [SweepRun(cell, seed, run_directory_of(root, cell, seed)) for seed in seeds for cell in cells]


def make_job(kind: Kind, modules: Sequence[str], run: SweepRun) -> Job:
    """Returns the job of a run, which may be launched again at any time.

    Args:
      kind: the command that carries out the run.
      modules: modules of the user that it imports first.
      run: the run.
    """
    command = [
        *(sys.executable, "-m", _CHILD, kind.command),
        *(f"--import_module={module}" for module in modules),
        *kind.arguments(run.cell.settings),
        f"--seed={run.seed}",
        f"--output_dir={run.directory}",
    ]
    return Job(
        name=run.name,
        command=command,
        is_done=lambda: is_finished(run.directory),
        landmark=lambda: _newest_checkpoint(run.directory),
        directory=run.directory,
        inputs=find_files(run.cell.config.get("neupl", {}).get("sink", "")),
        marker=FINISHED,
    )


def share_done(kind: Kind, run: SweepRun, rows: Sequence[Row]) -> float:
    """Returns how much of a run is done, between 0 and 1."""
    if is_finished(run.directory):
        return 1.0
    return min(kind.progress(run.cell.config, run.directory, rows).number / run.cell.total, 1.0)


def describe_progress(kind: Kind, run: SweepRun, rows: Sequence[Row]) -> str:
    """Returns how far a run is and its newest measure of convergence; nothing of one that has just begun."""
    number, text = kind.progress(run.cell.config, run.directory, rows)
    if not rows:
        return text if number else ""
    measure = formats.measure_of(rows[-1])
    return f"{text}, {formats.name_column(measure)} {formats.format_value(rows[-1][measure])}"


def _newest_checkpoint(directory: Path) -> str:
    return max((path.name for path in (directory / "checkpoints").glob("state_*")), default="")

"""Files that a sweep writes as it goes on: `sweep.csv`, `sweep.png` and `report.html`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from acme_psro.display.sweep_report import Panel, Series, write_picture, write_sweep_report
from acme_psro.sweeps.cells import Cell, describe_value, varied_keys
from acme_psro.sweeps.reading import SweepFile
from acme_psro.sweeps.results import CellResult, write_table

# As for the report of one run: see `acme_psro.population_runs.recording`.
_RENEWAL_SECONDS = 10.0
_RENEWAL_SHARE = 0.02
# Curves that can be told apart in one figure.
_MOST_CURVES = 6


class Publisher:
    """Writer of the files about all runs of a sweep.

    Args:
      root: the sweep's directory.
      file: the sweep.
      warn: called with one line if the last files cannot be written.
      renewal_seconds: shortest time between two reports while runs go on.
    """

    def __init__(
        self,
        root: Path,
        file: SweepFile,
        warn: Callable[[str], None],
        renewal_seconds: float = _RENEWAL_SECONDS,
    ) -> None:
        self._root, self._file, self._warn = root, file, warn
        self._least = self._pause = renewal_seconds
        self._written = time.monotonic()

    @property
    def is_due(self) -> bool:
        """True if the files are old enough to be written again."""
        return time.monotonic() - self._written >= self._pause

    def renew(self, results: Sequence[CellResult], failed: Mapping[str, str], outcome: str) -> None:
        """Writes all files while runs go on; what cannot be written now is tried again later."""
        began = time.monotonic()
        self._write(results, failed, outcome)
        self._written = time.monotonic()
        self._pause = max(self._least, (self._written - began) / _RENEWAL_SHARE)

    def finish(self, results: Sequence[CellResult], failed: Mapping[str, str], outcome: str) -> bool:
        """Writes all files of runs that have ended, and returns True if there is a report."""
        failure = self._write(results, failed, outcome)
        if failure is not None:
            self._warn(f"there is no report of the sweep: {failure}; --resume writes it.")
        return failure is None and any(result.seeds for result in results)

    def _write(self, results: Sequence[CellResult], failed: Mapping[str, str], outcome: str) -> str | None:
        """Writes the files and returns None, or returns the reason why one of them cannot be written."""
        try:
            write_table(self._root / "sweep.csv", list(self._file.grid), results)
            panels = make_panels(results)
            if panels:
                write_picture(self._root / "sweep.png", panels)
                write_sweep_report(
                    self._root / "report.html",
                    title=self._file.path.stem,
                    about=describe_sweep(self._file),
                    outcome=outcome,
                    panels=panels,
                    failures=failed,
                    settings={"base": self._file.base, "grid": self._file.grid, "seeds": self._file.seeds},
                )
        except OSError as error:
            return f"cannot write {error.filename or self._root}: {error.strerror or error}"
        return None


def describe_sweep(file: SweepFile) -> str:
    """Returns the size of a sweep in one line."""
    sizes = [f"{len(values)} of {name}" for name, values in file.grid.items()]
    seeds = "1 seed" if len(file.seeds) == 1 else f"{len(file.seeds)} seeds"
    return f"acme-psro {file.kind.command}: {', '.join([*sizes, seeds])}"


def labels_of(cells: Sequence[Cell]) -> list[str]:
    """Returns the names of cells for people: the values in which they differ."""
    return [cell.describe(varied_keys(cells)) or cell.name for cell in cells]


def make_panels(results: Sequence[CellResult]) -> list[Panel]:
    """Returns the figures of a sweep: cells in one have the same game, and are as few as can be told apart.

    Args:
      results: the cells' results. Those without any are left out.
    """
    known = [result for result in results if result.seeds]
    if not known:
        return []
    cells = [result.cell for result in known]
    shared, others = _panel_keys(cells)
    names = dict(zip((cell.name for cell in cells), labels_of(cells), strict=True))
    panels: dict[str, list[Series]] = {}
    for result in known:
        cell = result.cell
        label = cell.describe(others) or names[cell.name]
        series = Series(label, names[cell.name], cell.name, result.measure, result.seeds)
        panels.setdefault(_title(cell, shared), []).append(series)
    return [Panel(title, series) for title, series in panels.items()]


def _title(cell: Cell, shared: Sequence[str]) -> str:
    """Returns the game, and the other values that the cells of a panel have in common."""
    game = describe_value("game", cell.settings["game"])
    return ", ".join([game, *(describe_value(name, cell.varied[name]) for name in shared if name != "game")])


def _panel_keys(cells: Sequence[Cell]) -> tuple[list[str], list[str]]:
    """Returns the keys of the grid that tell panels apart, and those that tell a panel's curves apart."""
    varied = varied_keys(cells)
    shared, others = [name for name in varied if name == "game"], [name for name in varied if name != "game"]
    while len(others) > 1 and _largest_panel(cells, shared) > _MOST_CURVES:
        shared.append(others.pop(0))
    return shared, others


def _largest_panel(cells: Sequence[Cell], shared: Sequence[str]) -> int:
    titles = [_title(cell, shared) for cell in cells]
    return max(titles.count(title) for title in titles)

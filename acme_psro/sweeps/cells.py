"""Cells of a sweep: one for each combination of the grid's values, with its complete configuration."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from acme_psro.sweeps.kinds import Checked, Settings
from acme_psro.sweeps.reading import SweepFile

# More runs than this are rather a mistake in the file than a plan.
_MOST_RUNS = 20_000
_LONGEST_NAME = 80


@dataclasses.dataclass(frozen=True)
class Cell:
    """A combination of the grid's values.

    Attributes:
      name: the name of its directory, unique in the sweep.
      settings: what the file gives for it, some of it named GROUP.NAME.
      varied: the values of the grid among them.
      config: the complete configuration, without a seed.
      total: how far a run is at its end, unless it ends before.
    """

    name: str
    settings: Settings
    varied: Settings
    config: Mapping[str, Any]
    total: int

    def describe(self, names: Sequence[str]) -> str:
        """Returns the values of some keys of the grid, separated by commas."""
        return ", ".join(describe_value(name, self.varied[name]) for name in names)


def make_cells(file: SweepFile) -> list[Cell]:
    """Returns the cells in the order of the file, the last key of the grid changing fastest.

    Args:
      file: the sweep.

    Raises:
      SweepFileError: the configuration of a cell is not allowed, or two cells are the same run. The message
        names the line and the key.
    """
    number = len(file.seeds)
    for values in file.grid.values():
        number *= len(values)
    if number > _MOST_RUNS:
        raise file.grid_source.error(f"grid: it has {number:,} runs, more than {_MOST_RUNS:,}.")
    cells: dict[str, Cell] = {}
    # File systems may not tell capital letters from small ones.
    taken: set[str] = set()
    for combination in itertools.product(*file.grid.values()):
        varied = dict(zip(file.grid, combination, strict=True))
        checked = _check(file, varied)
        config = {name: value for name, value in checked.config.items() if name != "seed"}
        key = json.dumps(config, sort_keys=True)
        if key in cells:
            raise file.grid_source.error(
                f"grid: {_spell(cells[key].varied)} and {_spell(varied)} are the same run: leave one out."
            )
        name = unique(_name_of(varied), taken)
        taken.add(name.lower())
        cells[key] = Cell(name, {**file.base, **varied}, varied, config, checked.total)
    return list(cells.values())


def varied_keys(cells: Sequence[Cell]) -> list[str]:
    """Returns the keys of the grid in which cells differ."""
    first = cells[0].varied
    return [name for name in first if any(cell.varied[name] != first[name] for cell in cells)]


def describe_value(name: str, value: Any) -> str:
    """Returns a value of the grid for a name or a legend; one that does not speak for itself has its key."""
    if isinstance(value, str):
        return value
    return f"{name.rpartition('.')[2]} {json.dumps(value)}"


def _check(file: SweepFile, varied: Settings) -> Checked:
    """Returns the complete configuration of a cell.

    Raises:
      SweepFileError: it is not allowed.
    """
    try:
        return file.kind.check({**file.base, **varied})
    except ValueError as error:
        reason = " ".join(str(error).split())
        key = _find_key(file, varied, reason)
        source = file.sources[key] if key else file.grid_source
        cell = f" (in the cell {_spell(varied)})" if varied else ""
        raise source.error(f"{key or 'grid'}: {reason}{cell}") from None


def _find_key(file: SweepFile, varied: Settings, reason: str) -> str | None:
    """Returns the key of the file that a message speaks of: by its name, or else by its value."""
    # The grid's keys come first: what all cells have in common is not what this cell has wrong.
    given = {**varied, **file.base}
    for word in re.findall(r"[\w.]*\w", reason.replace("meta-solver", "meta_solver")):
        # A key, the setting of a group, or a group, such as one that has no effect.
        for key in given:
            if word in (key, key.rpartition(".")[2]) or ("." in key and word == key.partition(".")[0]):
                return key
    return next((key for key, value in given.items() if isinstance(value, str) and value in reason), None)


def _spell(varied: Settings) -> str:
    return ", ".join(f"{name}={json.dumps(value).strip(chr(34))}" for name, value in varied.items())


def _name_of(varied: Settings) -> str:
    """Returns a name for a directory that every file system takes."""
    text = "-".join(describe_value(name, value) for name, value in varied.items()) or "all"
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:_LONGEST_NAME] or "cell"


def unique(name: str, taken: Collection[str]) -> str:
    """Returns a name, with a number if it is among those that are taken, which have no capital letters."""
    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    return next(each for each in names if each.lower() not in taken)

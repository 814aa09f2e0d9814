"""Tables that are written row by row while a run goes on."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from pathlib import Path

from acme_psro import files

Row = dict[str, float]


class Table:
    """Appends rows to a CSV file; every row is on disk when `write` returns.

    The first row of a new file sets the columns; what later rows lack is written as nan.
    """

    def __init__(self, path: Path, first_column: str) -> None:
        self._path = path
        self._first_column = first_column
        self._columns = _columns(path)

    def write(self, row: Mapping[str, float]) -> None:
        """Appends a row."""
        if not self._columns:
            self._columns = [self._first_column, *sorted(row.keys() - {self._first_column})]
            self._append(self._columns)
        self._append([_text(row.get(name, math.nan)) for name in self._columns])

    def _append(self, cells: list[str]) -> None:
        with open(self._path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(cells)
            file.flush()
            os.fsync(file.fileno())


def read(path: Path) -> list[Row]:
    """The rows of a table, none where there is no file; half a line that a killed process left is no row."""
    columns, *lines = _lines(path) or [[]]
    return [dict(zip(columns, map(float, cells), strict=True)) for cells in lines if _whole(columns, cells)]


def keep(path: Path, column: str, most: float) -> None:
    """Drops the rows where a column has more: a run goes on from before they were written."""
    columns, *lines = _lines(path) or [[]]
    kept = [cells for cells in lines if _whole(columns, cells)]
    if column in columns:
        kept = [cells for cells in kept if float(cells[columns.index(column)]) <= most]
    text = "".join(",".join(cells) + "\n" for cells in (columns, *kept))
    if not kept:
        path.unlink(missing_ok=True)
    elif text != path.read_text(encoding="utf-8"):
        files.write_atomically(path, text)


def _lines(path: Path) -> list[list[str]]:
    """Those that have an end: what a killed process left of a number may look like one."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))


def _whole(columns: list[str], cells: list[str]) -> bool:
    try:
        return len([float(cell) for cell in cells]) == len(columns)
    except ValueError:
        return False


def _columns(path: Path) -> list[str]:
    return next(iter(_lines(path)), [])


def _text(value: float) -> str:
    number = float(value)
    return repr(int(number)) if number.is_integer() else repr(number)

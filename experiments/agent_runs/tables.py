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
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    rows = []
    for cells in lines[1:]:
        try:
            rows.append(dict(zip(lines[0], map(float, cells), strict=True)))
        except ValueError:
            continue
    return rows


def keep(path: Path, column: str, most: float) -> None:
    """Drops the rows where a column has more: a run goes on from before they were written."""
    kept = [row for row in read(path) if row.get(column, 0.0) <= most]
    if kept:
        files.write_csv(path, kept)
    else:
        path.unlink(missing_ok=True)


def _columns(path: Path) -> list[str]:
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return next(csv.reader(file), [])


def _text(value: float) -> str:
    number = float(value)
    return repr(int(number)) if number.is_integer() else repr(number)

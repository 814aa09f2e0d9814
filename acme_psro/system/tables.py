"""Tables of numbers as CSV files: appended row by row during a run, or written whole.

`Table`, `read` and `keep` tolerate a last line that a killed process left half-written; `write_csv` and
`read_csv` replace a file atomically and keep every digit.
"""

from __future__ import annotations

import csv
import io
import math
import numbers
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from acme_psro.system import files

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


def write_csv(path: str | os.PathLike[str], rows: Sequence[Mapping[str, float]]) -> None:
    """Writes a table of numbers, one line a row, without loss of precision.

    Args:
      path: where to write; replaced atomically.
      rows: at least one row; the first one sets the columns and their order.

    Raises:
      ValueError: there is no row, or a row's columns are not those of the first.
    """
    if not rows:
        raise ValueError("write_csv got no rows, and the columns come from the first row; give one")
    columns = list(rows[0])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for index, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            differing = sorted(row.keys() ^ rows[0].keys())
            raise ValueError(
                f"row {index} and row 0 differ in the columns {differing}; give every row the same columns"
            )
        writer.writerow([_number_to_text(row[column]) for column in columns])
    files.write_atomically(path, text.getvalue())


def read_csv(path: str | os.PathLike[str]) -> list[dict[str, float]]:
    """Reads a table written by `write_csv`.

    Whole numbers come back as int, so that writing the rows again gives the same bytes.

    Raises:
      OSError: the file cannot be read.
      ValueError: a cell is no number, or a line has more or fewer cells than there are columns.
    """
    with open(path, newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    columns = lines[0] if lines else []
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if len(cells) != len(columns):
            raise ValueError(
                f"{path}, line {number}: {len(cells)} cells for {len(columns)} columns; "
                "mend or remove the line"
            )
        try:
            values = [_text_to_number(cell) for cell in cells]
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}; every cell must be a number") from error
        rows.append(dict(zip(columns, values, strict=True)))
    return rows


def _number_to_text(value: float) -> str:
    # repr of a numpy scalar names its type, so convert to the plain Python number first.
    return repr(int(value) if isinstance(value, numbers.Integral) else float(value))


def _text_to_number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)

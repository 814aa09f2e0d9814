"""Tables of numbers as CSV files, either appended row by row during a run or written as a whole.

`Table`, `read` and `keep` are for tables that grow. They ignore a last line that a killed process left
incomplete. `write_csv` and `read_csv` are for complete tables. They replace the file atomically, keep every
digit and are strict about errors.
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
    """A CSV file to which rows are appended. Each row is on disk when `write` returns.

    The first row of a new file determines the columns. If a later row lacks a column, nan is written there,
    and columns that only a later row has are dropped.

    Args:
      path: the CSV file. If it exists, its columns are kept.
      first_column: the column that a new file begins with. The others follow in alphabetical order.
    """

    def __init__(self, path: Path, first_column: str) -> None:
        self._path = path
        self._first_column = first_column
        self._columns = _columns(path)

    def write(self, row: Mapping[str, float]) -> None:
        """Appends a row: a number for each column name."""
        if not self._columns:
            self._columns = [self._first_column, *sorted(row.keys() - {self._first_column})]
            self._append(self._columns)
        self._append([_text(row.get(name, math.nan)) for name in self._columns])

    def _append(self, cells: list[str]) -> None:
        with open(self._path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(cells)
            # A resumed run relies on these rows, so they must survive a crash of the machine too.
            file.flush()
            os.fsync(file.fileno())


def read(path: Path) -> list[Row]:
    """Returns the complete rows of a table.

    Args:
      path: the CSV file. If there is no file, there are no rows.

    Returns:
      One dictionary per row, by column. A line that a killed process left incomplete is ignored.
    """
    columns, *lines = _lines(path) or [[]]
    return [dict(zip(columns, map(float, cells), strict=True)) for cells in lines if _whole(columns, cells)]


def keep(path: Path, column: str, most: float) -> None:
    """Removes the rows whose value in a column is too large.

    A run that resumes from a checkpoint repeats the steps after it, and would write their rows a second time.

    Args:
      path: the CSV file. It is removed if no row is left.
      column: the column to compare. If the table does not have it, all complete rows are kept.
      most: the largest value that is kept.
    """
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
    """Returns the cells of each line that ends with a newline.

    A line without a newline was cut off. It is not safe to use: the first digits of a number are a number
    too.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))


def _whole(columns: list[str], cells: list[str]) -> bool:
    """Returns True if a line has a number for every column."""
    try:
        return len([float(cell) for cell in cells]) == len(columns)
    except ValueError:
        return False


def _columns(path: Path) -> list[str]:
    return next(iter(_lines(path)), [])


def _text(value: float) -> str:
    """Formats a number without loss of precision, and without a decimal point if it is an integer."""
    number = float(value)
    return repr(int(number)) if number.is_integer() else repr(number)


def write_csv(path: str | os.PathLike[str], rows: Sequence[Mapping[str, float]]) -> None:
    """Writes a table of numbers, with one line per row and without loss of precision.

    Args:
      path: the CSV file. An existing file is replaced atomically.
      rows: at least one row. The first row determines the columns and their order.

    Raises:
      OSError: the file cannot be written.
      ValueError: there are no rows, or a row has other columns than the first one.
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

    Integers are returned as int, so that writing the rows again gives the same bytes.

    Args:
      path: the CSV file.

    Returns:
      One dictionary per row, by column.

    Raises:
      OSError: the file cannot be read.
      ValueError: a cell is not a number, or a line has more or fewer cells than there are columns.
    """
    with open(path, newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    columns = lines[0] if lines else []
    rows = []
    # Line 1 holds the columns, so the first row is in line 2 of the file.
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
    # The repr of a NumPy scalar contains the name of its type, so it is converted to a plain Python number
    # first.
    return repr(int(value) if isinstance(value, numbers.Integral) else float(value))


def _text_to_number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)

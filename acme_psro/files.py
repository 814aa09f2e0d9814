"""Writes files whole or not at all, and reads and writes tables of metrics."""

from __future__ import annotations

import csv
import io
import numbers
import os
import pathlib
import uuid
from collections.abc import Mapping, Sequence


def write_atomically(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Replaces the file at `path` by `data`; a reader sees the old file or the new one.

    Args:
      path: where to write; its directory must exist.
      data: the whole content; text is encoded as UTF-8 and newlines are kept.

    Raises:
      OSError: the file cannot be written; the old file, if any, is still there.
    """
    path = pathlib.Path(path)
    content = data.encode("utf-8") if isinstance(data, str) else data
    # Same directory, because os.replace is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
    write_atomically(path, text.getvalue())


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

"""Tests of acme_psro.files."""

import math
import os
import pathlib
import stat
from typing import Any

import numpy as np
import pytest

from acme_psro import files


def test_write_atomically_replaces_text_and_bytes(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    files.write_atomically(path, "é\r\n")
    assert path.read_bytes() == b"\xc3\xa9\r\n"
    files.write_atomically(str(path), b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert os.listdir(tmp_path) == ["file"]


def test_written_file_has_the_permissions_of_any_new_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "plain").write_text("")
    files.write_atomically(tmp_path / "file", "")
    plain, written = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "file"))
    assert written == plain


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failure_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="disk is full"):
        files.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_csv_holds_plain_numbers_in_the_order_of_the_first_row(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "metrics.csv"
    rows: list[dict[str, Any]] = [
        {"iteration": np.int64(0), "gap_0": math.nan, "nash_conv": np.float64(0.1) + 0.2},
        {"nash_conv": 1e-300, "iteration": 1, "gap_0": 2.0},
    ]
    files.write_csv(path, rows)
    assert path.read_bytes() == (b"iteration,gap_0,nash_conv\n0,nan,0.30000000000000004\n1,2.0,1e-300\n")


def test_csv_round_trip_is_exact_to_the_byte(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "metrics.csv"
    values = np.random.default_rng(0).normal(size=20)
    files.write_csv(path, [{"iteration": i, "x": value} for i, value in enumerate(values)])
    before = path.read_bytes()
    rows = files.read_csv(path)
    assert [row["x"] for row in rows] == list(values)
    files.write_csv(path, rows)
    assert path.read_bytes() == before


def test_float32_keeps_its_value(tmp_path: pathlib.Path) -> None:
    row: dict[str, Any] = {"x": np.float32(0.1)}
    files.write_csv(tmp_path / "m.csv", [row])
    assert np.float32(files.read_csv(tmp_path / "m.csv")[0]["x"]) == np.float32(0.1)


def test_write_csv_refuses_bad_rows(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="no rows"):
        files.write_csv(tmp_path / "m.csv", [])
    with pytest.raises(ValueError, match=r"row 1 and row 0 differ in the columns \['b'\]"):
        files.write_csv(tmp_path / "m.csv", [{"a": 1}, {"a": 1, "b": 2}])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [("a,b\n1\n", "line 2: 1 cells for 2 columns"), ("a\n1\nx\n", "line 3: .*'x'.* a number")],
)
def test_read_csv_names_the_bad_line(tmp_path: pathlib.Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        files.read_csv(tmp_path / "m.csv")


def test_read_csv_of_an_empty_file_has_no_rows(tmp_path: pathlib.Path) -> None:
    (tmp_path / "m.csv").write_text("")
    assert files.read_csv(tmp_path / "m.csv") == []

"""Tests of tables of numbers: tables that grow row by row, and tables written as a whole."""

import csv
import math
import pathlib
from typing import Any

import numpy as np
import pytest

from acme_psro.system import tables


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "table.csv"


def write(path: pathlib.Path, *rows: tables.Row) -> None:
    table = tables.Table(path, "actor_steps")
    for row in rows:
        table.write(row)


def test_rows_come_back_as_they_were_written(path: pathlib.Path) -> None:
    rows = [
        {"actor_steps": 7.0, "loss": 0.1 + 0.2, "big": 1e300, "tiny": -5e-324},
        {"actor_steps": 123456789.0, "loss": math.inf, "big": -math.inf, "tiny": 1 / 3},
    ]
    write(path, *rows)
    assert tables.read(path) == rows


def test_the_first_column_is_the_named_one_and_the_others_follow_in_order(path: pathlib.Path) -> None:
    write(path, {"b": 1.0, "actor_steps": 3.0, "a": 2.5})
    assert path.read_text() == "actor_steps,a,b\n3,2.5,1\n"


def test_every_row_is_on_disk_at_once_and_whole_numbers_are_written_as_such(path: pathlib.Path) -> None:
    table = tables.Table(path, "actor_steps")
    for count in range(1, 4):
        table.write({"actor_steps": float(count)})
        assert path.read_text().splitlines() == ["actor_steps", *map(str, range(1, count + 1))]


def test_what_a_row_lacks_is_nan_and_what_no_column_has_is_left_out(path: pathlib.Path) -> None:
    write(path, {"actor_steps": 1.0, "loss": 2.0}, {"actor_steps": 2.0, "other": 3.0})
    _, last = tables.read(path)
    assert last.keys() == {"actor_steps", "loss"}
    assert last["actor_steps"] == 2.0
    assert math.isnan(last["loss"])


def test_nan_and_infinity_are_written_and_read(path: pathlib.Path) -> None:
    write(path, {"actor_steps": 1.0, "loss": math.nan, "return": -math.inf})
    (row,) = tables.read(path)
    assert math.isnan(row["loss"])
    assert row["return"] == -math.inf


def test_a_table_opened_again_keeps_its_columns(path: pathlib.Path) -> None:
    write(path, {"actor_steps": 1.0, "b": 2.0, "a": 3.0})
    write(path, {"a": 6.0, "b": 5.0, "actor_steps": 4.0})
    assert path.read_text() == "actor_steps,a,b\n1,3,2\n4,6,5\n"


def test_half_a_line_is_no_row(path: pathlib.Path) -> None:
    write(path, {"actor_steps": 1.0, "loss": 2.0}, {"actor_steps": 2.0, "loss": 3.0})
    whole = path.read_text()
    for cut in ("2", "2,", "2,-", "2,3"):
        path.write_text(whole.removesuffix("2,3\n") + cut)
        assert tables.read(path) == [{"actor_steps": 1.0, "loss": 2.0}]


def test_where_there_is_no_file_there_are_no_rows(path: pathlib.Path) -> None:
    assert tables.read(path) == []


def test_rewinding_drops_later_rows_and_half_a_line(path: pathlib.Path) -> None:
    write(path, *({"actor_steps": float(steps), "loss": steps / 8} for steps in (1, 2, 3)))
    with path.open("a") as file:
        file.write("4,0.")
    tables.keep(path, "actor_steps", 2)
    assert path.read_text() == "actor_steps,loss\n1,0.125\n2,0.25\n"
    assert tables.read(path) == [{"actor_steps": 1.0, "loss": 0.125}, {"actor_steps": 2.0, "loss": 0.25}]
    # The next row begins on a new line.
    write(path, {"actor_steps": 3.0, "loss": 9.0})
    assert tables.read(path)[-1] == {"actor_steps": 3.0, "loss": 9.0}


def test_what_is_left_of_a_number_is_no_number(path: pathlib.Path) -> None:
    path.write_text("learner_steps,loss\n7,0.5\n8,0.1234")
    assert tables.read(path) == [{"learner_steps": 7.0, "loss": 0.5}]
    tables.keep(path, "actor_steps", 0)
    write(path, {"learner_steps": 9.0, "loss": 0.25})
    assert path.read_text() == "learner_steps,loss\n7,0.5\n9,0.25\n"


def test_where_nothing_is_later_the_file_stays_as_it_is(path: pathlib.Path) -> None:
    write(path, {"actor_steps": 1.0, "loss": math.nan}, {"actor_steps": 2.0, "loss": 0.5})
    before = path.stat()
    tables.keep(path, "actor_steps", 2)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_table_without_the_column_is_kept(path: pathlib.Path) -> None:
    tables.Table(path, "learner_steps").write({"learner_steps": 7.0})
    tables.keep(path, "actor_steps", 0)
    assert tables.read(path) == [{"learner_steps": 7.0}]


def test_a_table_of_which_nothing_is_left_is_gone(path: pathlib.Path) -> None:
    write(path, {"actor_steps": 5.0})
    tables.keep(path, "actor_steps", 4)
    assert not path.exists()
    tables.keep(path, "actor_steps", 4)
    write(path, {"actor_steps": 1.0, "other": 2.0})
    assert list(csv.reader(path.read_text().splitlines())) == [["actor_steps", "other"], ["1", "2"]]


def test_csv_holds_plain_numbers_in_the_order_of_the_first_row(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "metrics.csv"
    rows: list[dict[str, Any]] = [
        {"iteration": np.int64(0), "gap_0": math.nan, "nash_conv": np.float64(0.1) + 0.2},
        {"nash_conv": 1e-300, "iteration": 1, "gap_0": 2.0},
    ]
    tables.write_csv(path, rows)
    assert path.read_bytes() == (b"iteration,gap_0,nash_conv\n0,nan,0.30000000000000004\n1,2.0,1e-300\n")


def test_csv_round_trip_is_exact_to_the_byte(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "metrics.csv"
    values = np.random.default_rng(0).normal(size=20)
    tables.write_csv(path, [{"iteration": i, "x": value} for i, value in enumerate(values)])
    before = path.read_bytes()
    rows = tables.read_csv(path)
    assert [row["x"] for row in rows] == list(values)
    tables.write_csv(path, rows)
    assert path.read_bytes() == before


def test_float32_keeps_its_value(tmp_path: pathlib.Path) -> None:
    row: dict[str, Any] = {"x": np.float32(0.1)}
    tables.write_csv(tmp_path / "m.csv", [row])
    assert np.float32(tables.read_csv(tmp_path / "m.csv")[0]["x"]) == np.float32(0.1)


def test_write_csv_refuses_bad_rows(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="no rows"):
        tables.write_csv(tmp_path / "m.csv", [])
    with pytest.raises(ValueError, match=r"row 1 and row 0 differ in the columns \['b'\]"):
        tables.write_csv(tmp_path / "m.csv", [{"a": 1}, {"a": 1, "b": 2}])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [("a,b\n1\n", "line 2: 1 cells for 2 columns"), ("a\n1\nx\n", "line 3: .*'x'.* a number")],
)
def test_read_csv_names_the_bad_line(tmp_path: pathlib.Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        tables.read_csv(tmp_path / "m.csv")


def test_read_csv_of_an_empty_file_has_no_rows(tmp_path: pathlib.Path) -> None:
    (tmp_path / "m.csv").write_text("")
    assert tables.read_csv(tmp_path / "m.csv") == []

"""Tests of acme_psro.sweeps.results and publishing."""

import csv
import pathlib

import numpy as np
import pytest

from acme_psro.sweeps.cells import make_cells
from acme_psro.sweeps.jobs import SweepRun, make_runs, share_done
from acme_psro.sweeps.publishing import Publisher, labels_of, make_panels
from acme_psro.sweeps.reading import SweepFile
from acme_psro.sweeps.results import CellResult, describe_results, find_results, table_rows
from tests.acme_psro.sweeps.files import SOLVERS, read, write_run


def _runs(file: SweepFile, root: pathlib.Path) -> list[SweepRun]:
    return make_runs(root, make_cells(file), file.seeds)


def _results(file: SweepFile, runs: list[SweepRun], failed: dict[str, str]) -> list[CellResult]:
    cells = list(dict.fromkeys(run.cell.name for run in runs))
    found = [next(run.cell for run in runs if run.cell.name == name) for name in cells]
    return find_results(file.kind, found, runs, failed)


@pytest.fixture
def file(tmp_path: pathlib.Path) -> SweepFile:
    return read(tmp_path, SOLVERS.replace("[0, 1]", "[0, 1, 2]"))


def test_rows_are_means_with_bands_over_seeds(file: SweepFile, tmp_path: pathlib.Path) -> None:
    runs = _runs(file, tmp_path)
    assert [run.name for run in runs[:4]] == ["nash/seed_0", "uniform/seed_0", "prd/seed_0", "nash/seed_1"]
    for run, values in zip(runs[::3], ([0.5, 0.1], [0.5, 0.2], [0.5, 0.6]), strict=True):
        write_run(run.directory, values)
    (nash, uniform, _) = _results(file, runs, {})
    assert (nash.measure, nash.finished, len(nash.seeds)) == ("exploitability", 3, 3)
    assert uniform == (runs[1].cell, "", (), 0) and table_rows(uniform) == []
    first, last = table_rows(nash)
    assert (first["mean"], first["std"], first["low"], first["high"]) == (0.5, 0.0, 0.5, 0.5)
    assert (last["iteration"], last["seeds"], last["seconds"], last["env_steps"]) == (1, 3, 4.0, 100.0)
    assert last["mean"] == pytest.approx(0.3)
    assert last["std"] == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1))
    # Student's t with two degrees of freedom: 4.3027 standard errors; the band ends at 0.
    margin = 4.302652729911275 * np.std([0.1, 0.2, 0.6], ddof=1) / np.sqrt(3)
    assert (last["low"], last["high"]) == (0.0, pytest.approx(0.3 + margin))


def test_the_last_value_of_a_converged_run_holds_and_failed_runs_are_left_out(
    file: SweepFile, tmp_path: pathlib.Path
) -> None:
    runs = _runs(file, tmp_path)
    write_run(runs[0].directory, [0.5, 0.1], finished=False, gain=0.0)
    write_run(runs[3].directory, [0.5, 0.4, 0.3, 0.2])
    write_run(runs[6].directory, [0.5], finished=False)
    (nash, _, _) = _results(file, runs, {"nash/seed_2": "killed"})
    assert [row["mean"] for row in table_rows(nash)] == pytest.approx([0.5, 0.25, 0.2, 0.15])
    # With the third run, only the first row is known of all.
    (nash, _, _) = _results(file, runs, {})
    assert len(table_rows(nash)) == 1
    assert [share_done(file.kind, run, run.rows()) for run in (runs[0], runs[3], runs[1])] == [
        1 / 3,
        1.0,
        0.0,
    ]


def test_one_seed_has_no_band(file: SweepFile, tmp_path: pathlib.Path) -> None:
    runs = _runs(file, tmp_path)[:3]
    write_run(runs[0].directory, [0.5, 0.1])
    results = _results(file, runs, {})
    (_, last) = table_rows(results[0])
    assert last["mean"] == 0.1 and np.isnan([last["std"], last["low"], last["high"]]).all()
    assert [line.split() for line in describe_results(results, labels_of([run.cell for run in runs]))][
        1:
    ] == [
        ["nash", "exploitability", "0.1000", "1", "1", "4.0", "s"],
        ["uniform", "-", "-", "0", "-", "-"],
        ["prd", "-", "-", "0", "-", "-"],
    ]


def test_files_are_a_table_a_picture_and_a_report(file: SweepFile, tmp_path: pathlib.Path) -> None:
    runs = _runs(file, tmp_path)
    for index, run in enumerate(runs[:6]):
        write_run(run.directory, [0.5, 0.1 + 0.01 * index])
    warnings: list[str] = []
    publisher = Publisher(tmp_path, file, warnings.append, renewal_seconds=1e9)
    assert not publisher.is_due
    failed = {"prd/seed_2": "killed by <SIGKILL>"}
    assert publisher.finish(_results(file, runs, failed), failed, "8 of 9 runs are done, 1 failed.")
    assert not warnings
    with open(tmp_path / "sweep.csv", newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["cell"] for row in rows] == ["nash", "nash", "uniform", "uniform", "prd", "prd"]
    assert rows[1]["measure"] == "exploitability" and rows[1]["meta_solver"] == "nash"
    assert float(rows[1]["mean"]) == pytest.approx(0.115) and rows[1]["iteration"] == "1"
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "report.html").read_text()
    # One panel, over iterations, episodes and seconds.
    assert page.count("</svg>") == 3
    for text in (
        "8 of 9 runs are done",
        "killed by &lt;SIGKILL&gt;",
        "Student’s t",
        "<th>grid.meta_solver</th>",
    ):
        assert text in page
    assert '<a href="uniform/seed_1/report.html">1</a>' in page


def test_what_cannot_be_written_is_one_warning(file: SweepFile, tmp_path: pathlib.Path) -> None:
    runs = _runs(file, tmp_path)
    write_run(runs[0].directory, [0.5, 0.1])
    (tmp_path / "sweep.png").mkdir()
    warnings: list[str] = []
    publisher = Publisher(tmp_path, file, warnings.append, renewal_seconds=0.0)
    assert publisher.is_due
    publisher.renew(_results(file, runs, {}), {}, "going on")
    assert not warnings and not publisher.finish(_results(file, runs, {}), {}, "done")
    assert len(warnings) == 1 and "sweep.png" in warnings[0] and "--resume writes it" in warnings[0]


def test_panels_have_one_game_and_few_curves(tmp_path: pathlib.Path) -> None:
    text = (
        SOLVERS.replace("  game: kuhn_poker\n", "")
        .replace("[0, 1]", "[0]")
        .replace(
            "grid:",
            "grid:\n  game: [kuhn_poker, matrix_rps]\n  symmetric: [false]\n  tolerance: [0, 0.1, 0.2]\n",
        )
    )
    file = read(tmp_path, text)
    runs = _runs(file, tmp_path)
    for run in runs:
        write_run(run.directory, [0.5, 0.1])
    panels = make_panels(_results(file, runs, {}))
    assert [panel.title for panel in panels] == [
        f"{game}, tolerance {value}"
        for game in ("kuhn_poker", "matrix_rps")
        for value in ("0.0", "0.1", "0.2")
    ]
    assert [series.label for series in panels[1].series] == ["nash", "uniform", "prd"]
    assert panels[1].series[0].name == "kuhn_poker, tolerance 0.1, nash"
    few = make_panels(_results(file, runs[:6], {}))
    assert [panel.title for panel in few] == ["kuhn_poker"]
    assert [series.label for series in few[0].series][:2] == ["tolerance 0.0, nash", "tolerance 0.0, uniform"]
    assert make_panels([]) == []

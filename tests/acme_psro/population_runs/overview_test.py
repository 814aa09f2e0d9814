"""Tests of acme_psro.population_runs.overview."""

import math
import pathlib
from typing import Any

import pytest

from acme_psro.display.progress import Progress
from acme_psro.population_runs.overview import Overview, mean_row
from tests.acme_psro.display.rows import make_row

_CONFIG = {"game": "kuhn_poker", "oracle": "device", "tolerance": 1e-7}


class _Shown(Progress):
    """A display that remembers its rows."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def start_iteration(self, iteration: int, text: str, details: Any = None) -> None:
        self.details = details

    def update(self, row: Any) -> None:
        self.rows.append(row)

    def note(self, text: str) -> None:
        raise AssertionError


def _rows(number: int, scale: float = 1.0) -> list[dict[str, float]]:
    return [
        make_row(index, nash_conv=scale / (1 + index))
        | {"episodes": 10.0 * index, "gain_0": scale, "gain_1": 0.0}
        for index in range(number)
    ]


def _overview(tmp_path: pathlib.Path, shown: _Shown | None = None, renewal: float = 1000.0) -> Overview:
    return Overview(tmp_path / "report.html", _CONFIG, [0, 1, 2], shown, pytest.fail, renewal)


def test_rows_are_shown_once_all_seeds_have_them(tmp_path: pathlib.Path) -> None:
    shown = _Shown()
    overview = _overview(tmp_path, shown)
    overview.update(0, _rows(3, 1.0))
    overview.update(1, _rows(2, 2.0))
    assert shown.rows == []
    overview.update(2, _rows(1, 3.0))
    assert [row["iteration"] for row in shown.rows] == [0]
    assert shown.rows[0]["nash_conv"] == pytest.approx(2.0)
    overview.update(2, _rows(3, 3.0))
    overview.update(1, _rows(3, 2.0))
    assert [row["iteration"] for row in shown.rows] == [0, 1, 2]


def test_a_seed_that_has_ended_keeps_its_last_row(tmp_path: pathlib.Path) -> None:
    shown = _Shown()
    overview = _overview(tmp_path, shown)
    overview.update(0, _rows(1, 0.0), "Converged.")
    overview.update(1, _rows(3, 3.0))
    overview.update(2, _rows(3, 3.0))
    assert [row["nash_conv"] for row in shown.rows] == pytest.approx([2.0, 1.0, 2 / 3])
    assert [row["iteration"] for row in shown.rows] == [0, 1, 2]


def test_every_seed_has_a_line_and_has_converged_if_nobody_can_gain(tmp_path: pathlib.Path) -> None:
    overview = _overview(tmp_path)
    overview.update(0, _rows(2, 0.0), "Converged.")
    overview.update(1, _rows(2, 1.0))
    assert overview.lines() == [
        "seed 0: 1 iteration, exploitability 0.0000, ended",
        "seed 1: 1 iteration, exploitability 0.2500",
        "seed 2: starting",
    ]
    assert [(seed.seed, seed.has_converged) for seed in overview.seeds()] == [(0, True), (1, False)]


def test_the_report_is_renewed_while_seeds_run_and_says_how_they_ended(tmp_path: pathlib.Path) -> None:
    overview = _overview(tmp_path, renewal=0.0)
    overview.update(1, _rows(3))
    page = (tmp_path / "report.html").read_text()
    assert "Still running: 0 of 3 seeds are done, the others have done at least 2 iterations." in page
    overview.update(0, _rows(2), "Converged.")
    overview.stop()
    page = (tmp_path / "report.html").read_text()
    assert "Stopped: 1 of 3 seeds are done, the others have done at least 2 iterations; the runs can" in page
    overview.update(1, _rows(3), "Stopped.")
    overview.update(2, _rows(3), "Stopped.")
    assert not overview.is_final
    overview.finish()
    assert overview.is_final
    assert "All 3 seeds are done." in (tmp_path / "report.html").read_text()
    assert overview.summary()[:2] == ["seed 0: Converged.", "seed 1: Stopped."]
    assert overview.summary()[-1].startswith("Exploitability ")


def test_a_report_that_cannot_be_written_is_a_warning(tmp_path: pathlib.Path) -> None:
    said: list[str] = []
    overview = Overview(tmp_path / "missing" / "report.html", _CONFIG, [0], None, said.append)
    overview.finish()
    # Without a row there is nothing to report.
    assert said == []
    overview.update(0, _rows(2), "Stopped.")
    overview.finish()
    assert len(said) == 1 and "--resume writes it" in said[0]
    assert not overview.is_final


def test_means_leave_out_what_is_not_known() -> None:
    rows = [
        {"iteration": 1.0, "wall_seconds": 2.0, "gap": math.nan, "gain": 1.0},
        {"iteration": 3.0, "wall_seconds": 1.0, "gap": 0.5, "gain": 2.0},
    ]
    assert mean_row(rows) == {"iteration": 3.0, "wall_seconds": 2.0, "gap": 0.5, "gain": 1.5}
    assert math.isnan(mean_row(rows[:1])["gap"])


def test_seeds_of_joint_distributions_end_with_their_gap(tmp_path: pathlib.Path) -> None:
    overview = _overview(tmp_path)
    for seed in range(3):
        overview.update(seed, [row | {"cce_gap": 0.25} for row in _rows(2)])
    assert overview.summary()[-1].startswith("CCE gap 0.2500")
    assert overview.lines()[0] == "seed 0: 1 iteration, CCE gap 0.2500"

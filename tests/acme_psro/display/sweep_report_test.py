"""Tests of acme_psro.display.sweep_report."""

import pathlib
from collections.abc import Mapping
from typing import Any

import pytest

from acme_psro.display.seeds_report import SeedProgress
from acme_psro.display.sweep_report import Panel, Series, write_picture, write_sweep_report
from tests.acme_psro.display.rows import make_row

_ABOUT: Mapping[str, Any] = {
    "title": "solvers",
    "about": "2 of meta_solver",
    "outcome": "All runs are done.",
    "settings": {"grid": {"meta_solver": ["nash", "prd"]}},
}


def _series(label: str, seeds: int = 2, rows: int = 3, measure: str = "exploitability") -> Series:
    progress = [
        SeedProgress(
            seed,
            [
                make_row(index, nash_conv=(seed + 1.0) / (1 + index))
                | {"episodes": 1000.0 * index, "env_steps": 3000.0 * index, "cce_gap": 0.5}
                for index in range(rows)
            ],
            "done",
            False,
        )
        for seed in range(seeds)
    ]
    return Series(label, f"kuhn & {label}", f"kuhn_{label}", measure, progress)


def _write(tmp_path: pathlib.Path, panels: list[Panel], failures: Mapping[str, str] | None = None) -> str:
    path = tmp_path / "report.html"
    write_sweep_report(path, panels=panels, failures=failures or {}, **_ABOUT)
    return path.read_text()


def test_the_page_has_figures_of_each_panel_and_a_row_of_each_cell(tmp_path: pathlib.Path) -> None:
    panels = [Panel("kuhn_poker", [_series("nash"), _series("prd")]), Panel("a < b", [_series("nash")])]
    page = _write(tmp_path, panels, {"kuhn_prd/seed_2": "killed by <SIGKILL>"})
    assert page.count("</svg>") == 2 * 3
    for text in ("<h2>a &lt; b</h2>", "killed by &lt;SIGKILL&gt;", "done; 1 failed", "Student’s t", "36,000"):
        assert text in page
    # Seeds end at 1 / 3 and 2 / 3 of NashConv, so at 1 / 6 and 1 / 3 of exploitability.
    assert page.count("<td>kuhn &amp; prd</td><td>exploitability</td><td>0.2500 ± 1.0589</td>") == 1
    assert '<a href="kuhn_prd/seed_1/report.html">1</a>' in page
    assert "<th>grid.meta_solver</th>" in page


def test_one_seed_has_no_band_and_joint_distributions_have_gaps(tmp_path: pathlib.Path) -> None:
    page = _write(
        tmp_path, [Panel("kuhn_poker", [_series("jpsro", 1, measure="cce_gap"), _series("psro", 1)])]
    )
    assert "CCE gap or exploitability (game units)" in page and "Failed runs" not in page
    assert "Cells with one seed have no band." in page


def test_the_picture_takes_any_number_of_panels_and_curves(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "sweep.png"
    sizes = []
    for panels in (
        [Panel("kuhn_poker", [_series("nash", rows=1)])],
        [Panel(f"game {index}", [_series(f"solver {each}") for each in range(9)]) for index in range(3)],
    ):
        write_picture(path, panels)
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG")
        sizes.append((int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")))
    # Two columns and two rows of panels.
    assert sizes[1][0] == pytest.approx(2 * sizes[0][0], abs=2) and sizes[1][1] > 2 * sizes[0][1]


def test_nothing_is_written_without_results(tmp_path: pathlib.Path) -> None:
    for write in (lambda: _write(tmp_path, []), lambda: write_picture(tmp_path / "sweep.png", [])):
        with pytest.raises(ValueError, match="of a sweep needs a cell with results"):
            write()
    assert list(tmp_path.iterdir()) == []

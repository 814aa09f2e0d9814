"""Tests of acme_psro.display.seeds_report."""

import pathlib
from typing import Any

import pytest

from acme_psro.display.seeds_report import SeedProgress, describe_end, write_seeds_report
from tests.acme_psro.display.rows import make_row

_CONFIG = {
    "game": "kuhn_poker",
    "oracle": "device",
    "agent": "crossq",
    "seed": 4,
    "made_by": [],
    "device": {},
}


def _row(iteration: int, scale: float, **others: float) -> dict[str, float]:
    row = make_row(iteration, nash_conv=scale / (1 + iteration))
    return row | {"episodes": 1000.0 * iteration, "env_steps": 2000.0 * iteration} | others


def _seeds(rows: int = 4, **others: float) -> list[SeedProgress]:
    return [
        SeedProgress(
            seed, [_row(index, seed, **others) for index in range(rows)], f"Stopped <{seed}>.", False
        )
        for seed in (4, 5, 6)
    ]


def _write(tmp_path: pathlib.Path, seeds: list[SeedProgress], **config: Any) -> str:
    path = tmp_path / "report.html"
    write_seeds_report(path, config=_CONFIG | config, seeds=seeds, outcome="All 3 seeds are done.")
    return path.read_text()


def test_the_page_has_three_figures_and_a_row_for_each_seed(tmp_path: pathlib.Path) -> None:
    page = _write(tmp_path, _seeds())
    assert page.count("</svg>") == 3
    for text in ("kuhn_poker", "seeds 4, 5, 6", "All 3 seeds are done.", "Student’s t with 2 degrees"):
        assert text in page
    for label in ("Over iterations", "Over episodes", "Over wall time", "episodes (thousands)"):
        assert label in page
    for seed in (4, 5, 6):
        assert f'<a href="seed_{seed}/report.html">{seed}</a>' in page
        # Outcomes are text, not HTML.
        assert f"<td>Stopped &lt;{seed}&gt;</td>" in page
    # All seeds share the configuration; their seeds are told apart above.
    assert "<th>seed</th></tr>" not in page and "<th>oracle</th>" in page
    assert "made_by" not in page


def test_ends_are_means_with_their_margins() -> None:
    # 4, 5 and 6 over 4 and two players: 0.5, 0.625, 0.75; their standard error is 0.0722.
    assert describe_end(_seeds(), "exploitability") == "0.6250 ± 0.3105"
    assert describe_end(_seeds()[:1], "exploitability") == "0.5000"


def test_population_exploitability_is_shown_if_all_seeds_know_it(tmp_path: pathlib.Path) -> None:
    assert "population exploitability" not in _write(tmp_path, _seeds()).lower()
    page = _write(tmp_path, _seeds(population_exploitability=0.125))
    assert page.count("0.1250") >= 4
    assert "var(--series-1)" in page


def test_one_seed_that_has_just_begun_has_a_page(tmp_path: pathlib.Path) -> None:
    page = _write(tmp_path, _seeds(rows=1)[:1])
    assert "One seed has no band." in page and "mean ±" not in page


def test_without_rows_there_is_no_report(tmp_path: pathlib.Path) -> None:
    for seeds in ([], [SeedProgress(0, [], "", False)]):
        with pytest.raises(ValueError, match="needs at least one seed"):
            _write(tmp_path, seeds)
    assert not list(tmp_path.iterdir())


def test_seeds_of_joint_distributions_are_measured_by_their_gaps(tmp_path: pathlib.Path) -> None:
    page = _write(tmp_path, _seeds(cce_gap=0.25, ce_gap=0.5))
    assert "<th>CCE gap</th><th>CE gap</th>" in page and "Exploitability" not in page
    # On graphs the second one is not computed unless it is sought.
    assert "CE gap</th><th>NashConv" in _write(tmp_path, _seeds(cce_gap=0.25))

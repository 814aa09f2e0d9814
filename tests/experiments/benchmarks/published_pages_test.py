"""Tests of experiments.benchmarks.published_pages."""

import json
import pathlib
from typing import Any

import pytest

from experiments.benchmarks import published_pages

RESULTS: dict[str, Any] = {
    "title": "Speed",
    "about": "Per second.",
    "command": "python -m experiments.benchmarks.a; python -m experiments.benchmarks.b",
    "machine": "a machine",
    "software": {"JAX": "0.6.2"},
    "commit": None,
    "seeds": [0, 1],
    "peers": [],
    "columns": ["side", "figures"],
    "rows": [
        {"cells": ["ours", "{steps:,} after {seconds} s"], "figures": {"steps": 1200, "seconds": [3, 4]}}
    ],
    "notes": ["{share:e-4} of {bound:.0e}"],
    "figures": {"share": 0.6e-4, "bound": 1e-4},
}
PAGE = "# Page\n\n<!-- table: speed -->\n{}<!-- end of table -->\n\nMore.\n"


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder with the results `speed` and a page that shows them."""
    monkeypatch.setattr(published_pages, "RESULTS", tmp_path)
    monkeypatch.setattr(published_pages, "ROOT", tmp_path)
    monkeypatch.setattr(published_pages, "EXAMPLES", tmp_path)
    monkeypatch.setattr(published_pages, "PAGES", (tmp_path / "index.md",))
    write(tmp_path, "speed", **RESULTS)
    (tmp_path / "index.md").write_text(PAGE.format("| old |\n"))
    return tmp_path


def write(folder: pathlib.Path, name: str, **results: Any) -> None:
    (folder / f"{name}.json").write_text(json.dumps(results))


def test_table_and_notes_are_made_from_figures(folder: pathlib.Path) -> None:
    assert published_pages.make_table("speed", with_source=False).splitlines() == [
        "| side | figures |",
        "| --- | --- |",
        "| ours | 1,200 after 3, 4 s |",
        "",
        "0.6e-4 of 1e-4",
    ]


def test_source_stands_below_the_table(folder: pathlib.Path) -> None:
    about, *_, source = published_pages.make_table("speed", with_source=True).split("\n\n")
    assert about == "Per second."
    assert source == (
        "Measured with `python -m experiments.benchmarks.a`, `python -m experiments.benchmarks.b` "
        "on a machine; seeds 0, 1; JAX 0.6.2; commit not recorded. Data: [speed.json](speed.json)"
    )


def test_row_may_show_figures_of_another_table(folder: pathlib.Path) -> None:
    row = {"from": {"it": "speed/0"}, "cells": ["ours", "{it[steps]} in {it[seconds][1]} s"]}
    write(folder, "short", **RESULTS | {"rows": [row], "notes": []})
    assert published_pages.make_table("short", with_source=False).endswith("| ours | 1200 in 4 s |")


def test_pages_are_written_once(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = folder / "index.md"
    published_pages.main()
    assert capsys.readouterr().out == "written: index.md\n"
    written = page.read_text()
    assert written.startswith("# Page\n\n<!-- table: speed -->\n") and written.endswith("\n\nMore.\n")
    assert "1,200 after 3, 4 s" in written and "old" not in written
    published_pages.main()
    assert capsys.readouterr().out == ""
    page.write_text(written.replace("1,200", "1,300"))
    assert published_pages.fill_page(page) == written


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": ...}, "speed.json lacks seeds: add what is known, or null."),
        ({"columns": ["side"]}, "a row of speed.json has 2 cells for 1 columns."),
        ({"rows": [{"cells": ["", "{nothing}"], "figures": {}}]}, "'nothing'"),
    ],
)
def test_bad_results_are_named(folder: pathlib.Path, change: dict[str, Any], message: str) -> None:
    before = (folder / "index.md").read_text()
    write(folder, "speed", **{name: value for name, value in (RESULTS | change).items() if value is not ...})
    with pytest.raises(SystemExit) as ended:
        published_pages.main()
    assert ended.value.code == f"error: index.md: {message}"
    assert (folder / "index.md").read_text() == before


def test_unknown_results_are_named(folder: pathlib.Path) -> None:
    (folder / "index.md").write_text(PAGE.replace("speed", "pace").format(""))
    with pytest.raises(SystemExit, match="there are no results named 'pace'"):
        published_pages.main()


EXAMPLE = """import os

# [start:first]
print(1)


# [end:first]
# [start:second]
print(2)
# [end:second]
"""


def test_code_is_put_into_its_place(folder: pathlib.Path) -> None:
    (folder / "counting.py").write_text(EXAMPLE)
    page = folder / "page.md"
    page.write_text("A\n\n<!-- code: counting first -->\nold\n<!-- end of code -->\n\nB\n")
    filled = published_pages.fill_page(page)
    assert filled == (
        "A\n\n<!-- code: counting first -->\n\n```python\nprint(1)\n```\n\n<!-- end of code -->\n\nB\n"
    )
    page.write_text(filled)
    assert published_pages.fill_page(page) == filled


@pytest.mark.parametrize(
    ("mark", "message"),
    [("counting third", "counting.py has no part 'third'"), ("sorting first", "no example named 'sorting'")],
)
def test_unknown_code_is_named(folder: pathlib.Path, mark: str, message: str) -> None:
    (folder / "counting.py").write_text(EXAMPLE)
    (folder / "index.md").write_text(f"<!-- code: {mark} -->\n<!-- end of code -->\n")
    with pytest.raises(SystemExit, match=message):
        published_pages.main()

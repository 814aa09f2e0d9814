"""The benchmark of the SHOR games runs as users run it, and its figures make a table and a picture."""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acme_psro.commands import launching

ROOT = pathlib.Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def shor_games() -> Iterator[Any]:
    with launching.imported("experiments.benchmarks.shor_games") as module:
        yield module


def run(tmp_path: pathlib.Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.benchmarks.shor_games", *flags]
    environment = os.environ | {"ACME_PSRO_CACHE": str(tmp_path)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_table_and_picture_of_a_small_game(tmp_path: pathlib.Path) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "picture.png"
    done = run(
        tmp_path,
        "--games=2-player Kuhn",
        "--solvers=nash,uniform,shor",
        "--iterations=8",
        f"--figures={figures}",
        f"--picture={picture}",
    )
    assert done.returncode == 0, done.stderr
    assert "2-player Kuhn: nash " in done.stdout
    written = json.loads(figures.read_text())
    assert written["columns"] == ["game", "`nash`", "`uniform`", "`shor`", "`shor_evaluation`"]
    (row,) = written["rows"]
    # Kuhn poker is solved after six iterations with the Nash equilibrium.
    assert row["cells"][:2] == ["2-player Kuhn", "0 (done, {nash_at})"]
    assert row["figures"]["nash_at"] == 6
    assert row["figures"]["uniform"] == pytest.approx(0.09, abs=0.03)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_runs_that_are_not_made_anew_stay(shor_games: Any) -> None:
    old = shor_games.make_figures(
        {
            "2-player Kuhn": {
                "nash": shor_games.Run([(6, 0.0)], "done"),
                "prd": shor_games.Run([(9, 0.5)], "time"),
            }
        },
        {},
    )
    new = shor_games.make_figures(
        {"2-player Kuhn": {"prd": shor_games.Run([(50, 0.25), (100, 0.125)], "")}}, {"title": "T", **old}
    )
    assert new["title"] == "T"
    (row,) = new["rows"]
    assert [cell.format(**row["figures"]) for cell in row["cells"]] == [
        "2-player Kuhn",
        "0 (done, 6)",
        "0.12",
    ]
    (before,) = old["rows"]
    assert before["cells"][2].format(**before["figures"]) == "0.5 (time, 9)"


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--games=chess", "--games=chess is not known; use some of 2-player Kuhn"),
        ("--solvers=nahs", "no meta-solver named 'nahs'"),
        ("--iterations=0", "--iterations must be at least 1"),
    ],
)
def test_bad_input_is_refused_in_one_line(flag: str, message: str, tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, flag)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1

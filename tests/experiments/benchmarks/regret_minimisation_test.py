"""The benchmark of regret minimisation runs as users run it, with a small game."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]


def run(tmp_path: pathlib.Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.benchmarks.regret_minimisation", *flags]
    environment = os.environ | {"ACME_PSRO_CACHE": str(tmp_path)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_both_sides_reach_the_gaps(tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, "--game=kuhn_poker", "--gaps=0.1,0.01", "--policies=2")
    assert done.returncode == 0, done.stderr
    for side in ("acme_psro cfr.solve", "pyspiel.CFRPlusSolver (C++)", "cfr.solve, actions of 2 policies"):
        (row,) = (line for line in done.stdout.splitlines() if line.startswith(side))
        assert row.count(" in ") == 2
    assert "machine: " in done.stdout
    assert "not judged" in done.stdout


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--gaps=0.01,0.1", "from large to small"),
        ("--gaps=0.1,0", "positive numbers"),
        ("--gaps=small", "positive numbers"),
        ("--policies=0", "policies"),
        ("--game=kuhn_poker(players=3)", "two-player zero-sum"),
    ],
)
def test_bad_input_is_refused_in_one_line(flag: str, message: str, tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, flag)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1

"""Tests that run the scaling benchmark as users do; no measured time is checked."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[4]


def run(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.benchmarks.scaling.__main__", *flags]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--actors=1,0", "--actors takes whole numbers, 1 or more"),
        ("--player=2", "--player must be from 0 to 1 in leduc_poker, not 2."),
        ("--watch_seconds=5", "--watch_seconds must be at least 12, not 5.0"),
        ("--picture=no/such/place.png", "--picture=no/such/place.png: there is no such directory"),
        ("--agent=vmpo", "crossq|conditional_mpo"),
    ],
)
def test_bad_input_is_one_line(flag: str, said: str) -> None:
    done = run(flag)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [f"error: {done.stderr.partition('error: ')[2].strip()}"]
    assert said in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")
def test_all_is_measured_simulated_and_drawn(tmp_path: pathlib.Path) -> None:
    picture, scratch = tmp_path / "scaling.png", tmp_path / "temporary"
    scratch.mkdir()
    budget = ("--actors=1", "--watch_seconds=12", "--settle_seconds=1", "--probe_seconds=0.2")
    done = run(
        "--game=kuhn_poker",
        "--games_per_actor=4",
        *budget,
        "--simulated_actors=1,8",
        f"--picture={picture}",
        TMPDIR=str(scratch),
    )
    assert done.returncode == 0, done.stderr
    for said in (
        "1 actor, as it runs",
        "1 actor, nobody learns",
        "decision drawn and read",
        "bar: simulation within",
        "as it runs: an actor allows",
        "seed 0",
        "machine: ",
    ):
        assert said in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert list(scratch.iterdir()) == []

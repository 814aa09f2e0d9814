"""Tests of `acme-psro sweep` and its child processes, as their users run them."""

import csv
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from acme_psro.commands import sweep_child
from tests.acme_psro.commands.launching import ROOT, Launch, contents, imported, make_launch, start

# Two exact cells of one seed.
SWEEP = """\
base:
  game: kuhn_poker
  oracle: exact
  iterations: 3
grid:
  meta_solver: [nash, uniform]
  seeds: [0]
"""


@pytest.fixture(scope="module")
def run_sweep() -> Iterator[Any]:
    """The launcher module, whose flags temporarily replace flags of other launchers with the same names."""
    with imported("acme_psro.commands.run_sweep") as module:
        yield module


@pytest.fixture
def launch(run_sweep: Any, capsys: pytest.CaptureFixture[str]) -> Launch:
    return make_launch(run_sweep.main, capsys)


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    """A sweep file."""
    path = tmp_path / "two.yaml"
    path.write_text(SWEEP)
    return path


def test_a_killed_sweep_is_resumed_to_its_end(path: pathlib.Path, launch: Launch) -> None:
    root = path.with_suffix("")
    flags = (f"--sweep={path}", f"--output_dir={root}")
    driver = start("acme_psro", "sweep", *flags, "--parallel=1")
    deadline = time.monotonic() + 100
    while not (root / "nash" / "seed_0" / "finished.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    before = contents(root / "nash")
    again = launch(*flags)
    assert again.code == 2 and f"{root} holds this sweep already: add --resume" in again.err
    ended = launch(*flags, "--resume")
    assert ended.code == 0, ended.err
    # The first cell is not run again.
    assert contents(root / "nash") == before
    assert (root / "uniform" / "seed_0" / "finished.json").exists()
    lines = ended.out.splitlines()
    assert lines[0] == f"acme-psro run: 2 of meta_solver, 1 seed; 2 runs in {root}"
    assert lines[2].split()[:3] == ["nash", "exploitability", "0.1000"] and lines[3].startswith("uniform")
    assert lines[4] == f"report: {root / 'report.html'}, {root / 'sweep.png'}, {root / 'sweep.csv'}"
    with open(root / "sweep.csv", newline="") as table:
        rows = list(csv.DictReader(table))
    assert [(row["cell"], row["iteration"]) for row in rows] == [
        (cell, str(iteration)) for cell in ("nash", "uniform") for iteration in range(4)
    ]
    # A sweep that is done tells its results again, and a changed one is refused.
    assert launch(*flags, "--resume").out.splitlines()[1:4] == lines[1:4]
    path.write_text(SWEEP.replace("iterations: 3", "iterations: 4"))
    changed = launch(*flags, "--resume")
    assert changed.code == 2 and "cell nash has iterations 3, not 4" in changed.err


def test_a_failed_run_is_one_line_and_an_exit_code(path: pathlib.Path, launch: Launch) -> None:
    # The directory of the second cell is in the way of its run.
    (path.with_suffix("") / "uniform").mkdir(parents=True)
    (path.with_suffix("") / "uniform" / "seed_0").touch()
    ended = launch(f"--sweep={path}", f"--output_dir={path.with_suffix('')}")
    assert ended.code == 1
    (line,) = [line for line in ended.err.splitlines() if line.startswith("failed: ")]
    assert line.startswith("failed: uniform/seed_0: ") and "is a file: choose another" in line
    assert "nash  " in ended.out and "report: " in ended.out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "--sweep=FILE.yaml is missing"),
        (("--sweep=no.yaml",), "cannot open no.yaml: No such file"),
        (("--parallel=0",), "--parallel must be at least 1, not 0."),
        (("--executor=ray", "--parallel=2"), "--parallel needs --executor=local"),
        (("--executor=cloud",), "--executor must be local or ray, not 'cloud'."),
        (("--cpus_per_response=2",), "--cpus_per_response needs --executor=ray"),
        (("--resume",), "there is no sweep to resume in"),
        (("--output_dir=FILE/deeper",), "two.yaml is a file: choose another --output_dir."),
    ],
)
def test_bad_input_is_one_line(flags: tuple[str, ...], said: str, path: pathlib.Path, launch: Launch) -> None:
    given = [flag.replace("FILE", str(path)) for flag in flags]
    if flags and not flags[0].startswith("--sweep"):
        given = [f"--sweep={path}", f"--output_dir={path.with_suffix('')}", *given]
    ended = launch(*given)
    assert (ended.code, ended.out) == (2, "") and ended.err.count("\n") == 1
    assert said in ended.err and not path.with_suffix("").exists()


def test_a_bad_file_is_refused_before_anything_begins(path: pathlib.Path, launch: Launch) -> None:
    path.write_text(SWEEP.replace("uniform", "unifrom"))
    ended = launch(f"--sweep={path}", f"--output_dir={path.with_suffix('')}")
    assert (ended.code, ended.out) == (2, "") and ended.err.count("\n") == 1
    assert f"{path}, line 6: meta_solver: " in ended.err
    assert not path.with_suffix("").exists()


def test_every_command_of_a_sweep_has_a_launcher() -> None:
    from acme_psro.sweeps.kinds import KINDS

    assert sorted(sweep_child.LAUNCHERS) == sorted(KINDS)


def test_a_child_that_fails_does_not_count_as_done(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "acme_psro.commands.sweep_child", "run", "--game=none", "--oracle=exact"]
    done = subprocess.run([*command, f"--output_dir={tmp_path}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: ")
    assert list(tmp_path.iterdir()) == []

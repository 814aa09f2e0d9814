"""Runs of `experiments.run_psro` in separate processes, timed from outside."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from acme_psro.system import tables
from experiments.benchmarks.shared.curves import Point

_ROOT = Path(__file__).resolve().parents[3]
_GLANCE_SECONDS = 0.1


class Until(NamedTuple):
    """Limits after which a running process is ended; None for no limit.

    Attributes:
      seconds: time since the start of the process.
      episodes: the number of episodes in the latest row of `metrics.csv`.
    """

    seconds: float | None = None
    episodes: int | None = None


class Run(NamedTuple):
    """Results of a process.

    Attributes:
      points: one for each row of `metrics.csv`. The seconds are those from the start of the process until
        the row was seen.
      relative_gaps: for each response, its gap to the exact best response divided by the exact gain.
      process_seconds: time from the start to the end of the process.
      finished: True if the process ended by itself.
    """

    points: list[Point]
    relative_gaps: list[float]
    process_seconds: float
    finished: bool


def run_psro(flags_of_run: Sequence[str], until: Until) -> Run:
    """Runs `experiments.run_psro` in a temporary directory.

    Args:
      flags_of_run: command-line flags of the run, without `--output_dir`.
      until: limits after which the process is ended.

    Raises:
      ValueError: the process refused its flags, or was ended before its first row.
      RuntimeError: the process failed.
    """
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        command = [sys.executable, "-m", "experiments.run_psro", *flags_of_run]
        command.append(f"--output_dir={directory / 'run'}")
        with open(directory / "output", "wb") as output:
            began = time.monotonic()
            process = subprocess.Popen(command, cwd=_ROOT, stdout=output, stderr=subprocess.STDOUT)
            try:
                rows, seen, ended = _watch(process, directory / "run" / "metrics.csv", began, until)
            finally:
                # The process must not outlive the benchmark, even if the benchmark is interrupted.
                process.kill()
                process.wait()
        _check(process.returncode, ended, (directory / "output").read_text(errors="replace"), rows)
    points = [
        Point(at, int(row["episodes"]), row["exploitability"]) for at, row in zip(seen, rows, strict=True)
    ]
    gaps = [
        value
        for row in rows
        for name, value in row.items()
        if name.startswith("relative_gap_") and not math.isnan(value)
    ]
    return Run(points, gaps, time.monotonic() - began if ended is None else ended, ended is not None)


def _watch(
    process: subprocess.Popen[bytes], path: Path, began: float, until: Until
) -> tuple[list[dict[str, float]], list[float], float | None]:
    """Reads the rows of a running process until it ends or a limit is reached.

    Returns:
      The rows, the seconds at which each was first seen, and the seconds at which the process ended, or None
      if it is still running.
    """
    rows: list[dict[str, float]] = []
    seen: list[float] = []
    while True:
        ended = process.poll() is not None
        now = time.monotonic() - began
        if path.exists():
            rows = tables.read_csv(path)
            seen += [now] * (len(rows) - len(seen))
        if ended:
            return rows, seen, now
        if until.seconds is not None and now >= until.seconds:
            return rows, seen, None
        if until.episodes is not None and rows and rows[-1]["episodes"] >= until.episodes:
            return rows, seen, None
        time.sleep(_GLANCE_SECONDS)


def _check(code: int, ended: float | None, output: str, rows: Sequence[object]) -> None:
    """Raises the errors of `run_psro`."""
    last = output.strip().splitlines()[-1:] or ["it printed nothing"]
    if ended is not None and code == 2:
        raise ValueError(f"experiments.run_psro refused: {last[0].removeprefix('error: ')}")
    if ended is not None and code != 0:
        raise RuntimeError(f"experiments.run_psro ended with exit code {code}:\n{output[-4000:]}")
    if not rows:
        raise ValueError("experiments.run_psro was ended before its first row: give it more --max_seconds.")

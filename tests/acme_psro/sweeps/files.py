"""Sweep files and runs that tests write."""

import pathlib

from acme_psro.sweeps.directory import write_finished
from acme_psro.sweeps.reading import SweepFile, read_sweep
from acme_psro.system.tables import write_csv

# Three exact cells.
SOLVERS = """\
base:
  game: kuhn_poker
  oracle: exact
  iterations: 3
grid:
  meta_solver: [nash, uniform, prd]
  seeds: [0, 1]
"""


def write(directory: pathlib.Path, text: str = SOLVERS) -> pathlib.Path:
    """Writes a sweep file and returns its path."""
    path = directory / "solvers.yaml"
    path.write_text(text)
    return path


def read(directory: pathlib.Path, text: str = SOLVERS) -> SweepFile:
    """Writes a sweep file and reads it."""
    return read_sweep(write(directory, text))


def write_run(directory: pathlib.Path, values: list[float], finished: bool = True, gain: float = 1.0) -> None:
    """Writes the files of a run with the given exploitabilities."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text("{}")
    rows = [
        {
            "iteration": index,
            "wall_seconds": 2.0 * (index + 1),
            "env_steps": 100 * index,
            "episodes": 10 * index,
            "nash_conv": 2 * value,
            "exploitability": value,
            "gain_0": gain,
            "gain_1": 0.0,
        }
        for index, value in enumerate(values)
    ]
    write_csv(directory / "metrics.csv", rows)
    if finished:
        write_finished(directory)

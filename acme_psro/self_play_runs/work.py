"""Work of a self-play run: its measure, and how much of it is done as the run's files tell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from acme_psro.display.formats import format_duration, format_value
from acme_psro.self_play_runs.config import TABULAR
from acme_psro.system.tables import Row

_CHECKPOINT = re.compile(r"state_(\d{5,})\.npz", re.ASCII)


class Work(NamedTuple):
    """Measure of a run's work: a column of its metrics, and the unit of its numbers."""

    column: str
    unit: str


def measure_of(config: Mapping[str, Any]) -> Work:
    """Returns the measure of work of a run: its decisions, or its updates if no games are played.

    Args:
      config: the run's configuration, as in `config.json`.
    """
    return Work("gradient_steps", "updates") if config["algorithm"] == TABULAR else Work("env_steps", "steps")


def describe_work(config: Mapping[str, Any], row: Row) -> str:
    """Returns the work of a run up to a row of its metrics, such as "1,000 steps"."""
    column, unit = measure_of(config)
    return f"{row[column]:,.0f} {unit}"


def describe_row(config: Mapping[str, Any], row: Row) -> str:
    """Returns a row of a run's metrics as a line for the user."""
    column, unit = measure_of(config)
    return (
        f"{row[column]:>12,.0f} {unit}  {row['episodes']:>12,.0f} episodes"
        f"  NashConv {format_value(row['nash_conv']):>9}"
        f"  exploitability {format_value(row['exploitability']):>9}"
        f"  {format_duration(row['wall_seconds']):>12}"
    )


def steps_done(config: Mapping[str, Any], directory: Path, rows: Sequence[Row]) -> int:
    """Returns the number of steps that a run has made and stored, by its rows and its checkpoints.

    Evaluations may be far from each other, and checkpoints are not.

    Args:
      config: the run's configuration, as in `config.json`.
      directory: the run's directory.
      rows: rows of its metrics; none of a run that has just begun.
    """
    names = (_CHECKPOINT.fullmatch(path.name) for path in (directory / "checkpoints").glob("state_*"))
    updates = max((int(found[1]) for found in names if found), default=0)
    evaluated = int(rows[-1][measure_of(config).column]) if rows else 0
    return max(evaluated, updates * _steps_of_update(config))


def _steps_of_update(config: Mapping[str, Any]) -> int:
    rollout = config["rollout"]
    return 1 if config["algorithm"] == TABULAR else rollout["num_games"] * rollout["decisions"]

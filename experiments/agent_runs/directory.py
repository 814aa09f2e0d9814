"""What a run of one agent leaves on disk.

`config.json`, `learner.csv`, `actor.csv`, `evaluation.csv`, `evaluation.png`, `checkpoints/` and `events/`;
of a Launchpad program also `program.log`, and one of `finished.json` and `failure.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from acme_psro import files, run_directory
from experiments.agent_runs import tables
from experiments.agent_runs.config import AgentRunConfig

# How far to go and by which means, not what to learn.
_MAY_DIFFER = (
    "actor_steps",
    "checkpoint_seconds",
    "distributed",
    "evaluate_every",
    "evaluation_episodes",
    "lp_launch_type",
    "num_actors",
    "replay",
)


def check(directory: Path, config: AgentRunConfig, resume: bool) -> None:
    """Checks that the run may begin, or go on, in the directory; writes nothing.

    Raises:
      RunDirectoryError: it may not; the message says why and what to do.
    """
    run_directory.check(directory, config.to_json(), resume, _has_checkpoint, _MAY_DIFFER)


def begin(directory: Path, config: AgentRunConfig) -> None:
    """Makes the directory and writes `config.json`."""
    run_directory.write_config(directory, config.to_json())
    for name in ("finished.json", "failure.json"):
        (directory / name).unlink(missing_ok=True)


def rewind(directory: Path, actor_steps: float) -> None:
    """Drops what the tables hold of later than the checkpoint that a run goes on from."""
    for path in directory.glob("*.csv"):
        tables.keep(path, "actor_steps", actor_steps)


def write_failure(directory: Path, error: BaseException) -> None:
    """Leaves a program's first failure for whoever started it."""
    path = directory / "failure.json"
    if not path.exists():
        failure = {"kind": type(error).__name__, "message": " ".join(str(error).split())}
        files.write_atomically(path, json.dumps(failure) + "\n")


def read_failure(directory: Path) -> dict[str, str] | None:
    """The first failure's `kind` and `message`, if a program left one."""
    return _read(directory / "failure.json")


def write_finished(directory: Path, counts: dict[str, float]) -> None:
    """Notes that a program made all its steps."""
    files.write_atomically(directory / "finished.json", json.dumps(counts) + "\n")


def read_finished(directory: Path, config: AgentRunConfig) -> dict[str, float] | None:
    """The last counts of a program, if it made all the configured steps."""
    counts = _read(directory / "finished.json")
    return counts if counts and counts.get("actor_steps", 0) >= config.actor_steps else None


def is_evaluated(directory: Path, config: AgentRunConfig) -> bool:
    """Whether `evaluation.csv` has its last row."""
    rows = tables.read(directory / "evaluation.csv")
    return bool(rows) and rows[-1]["actor_steps"] >= config.actor_steps


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def _has_checkpoint(directory: Path) -> bool:
    return directory.is_dir() and any(path.name.isdigit() for path in directory.iterdir())

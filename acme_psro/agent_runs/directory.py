"""Output directory of a run of one agent.

Every run writes `config.json`, `learner.csv`, `actor.csv`, `evaluation.csv`, `evaluation.png`, `checkpoints/`
and `events/`. A Launchpad program also writes `starts.csv`, `program.log`, and either `finished.json` or
`failure.json`. A finished run that played a game writes `policy.npz` as well, and a program may write
`snapshots/` of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.plateau import Plateau, has_plateaued
from acme_psro.storage import run_directory
from acme_psro.storage.run_config import write_config
from acme_psro.system import files, tables

# Fields that may change when a run is resumed: its length, its hardware and its evaluation. They do not
# change the learning problem.
_MAY_DIFFER = (
    "actor_steps",
    "checkpoint_seconds",
    "distributed",
    "evaluate_every",
    "evaluation_episodes",
    "games_per_actor",
    "learner_accelerator",
    "learner_devices",
    "lp_launch_type",
    "num_actors",
    "plateau_min_improvement",
    "plateau_patience",
    "replay",
    "replay_with_learner",
    "snapshots",
)
# Errors that would happen again after another launch, because they are mistakes in the input or the code.
_FINAL = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    TypeError,
    ValueError,
)
# More such errors: training that diverged, and environments that return invalid numbers. They are compared by
# name, so that this module does not have to import the learner and the environments.
_FINAL_NAMES = ("DivergedError", "NonFiniteError")
_TABLE = re.compile(r"(learner|actor|evaluation|evaluator|starts)(_\d+)?\.csv", re.ASCII)
# Files, without their suffix, that describe the end of a program.
_ENDS = ("ending", "finished", "failure")
# The file by which a program that stopped itself says that everything is saved.
FINISHED = "finished.json"


def check(directory: Path, config: AgentRunConfig, resume: bool) -> None:
    """Checks that the run may begin or be resumed in the directory, without writing anything.

    Args:
      directory: output directory, which need not exist.
      config: configuration of the run.
      resume: True if the run may continue an earlier run in this directory.

    Raises:
      RunDirectoryError: the directory cannot be used; the message gives the reason and a remedy.
    """
    run_directory.check(directory, config.to_json(), resume, _has_checkpoint, _MAY_DIFFER)


class ProgramFailure(NamedTuple):
    """First failure of a program.

    Attributes:
      kind: name of the exception's class.
      message: message of the exception, in one line.
      is_final: True if another launch would fail in the same way, for example because of the input or the
        code. It is False for connection errors, which other nodes report if they lose a process.
    """

    kind: str
    message: str
    is_final: bool


class Finished(NamedTuple):
    """Regular end of a program.

    Attributes:
      counts: final counts of steps, episodes and seconds, by name.
      reason: "budget" if all configured steps were made, or "plateau".
    """

    counts: dict[str, float]
    reason: str


def begin(directory: Path, config: AgentRunConfig) -> None:
    """Creates the directory and writes `config.json`."""
    write_config(directory, config.to_json())
    # A resumed program must not be taken for one that ended already, or keep the policy of that end.
    for path in (*(directory / f"{name}.json" for name in _ENDS), policy_file(directory)):
        path.unlink(missing_ok=True)


def rewind(directory: Path, actor_steps: float) -> None:
    """Drops the rows of all tables that are newer than the checkpoint from which a run is resumed.

    Args:
      directory: output directory of the run.
      actor_steps: number of steps at that checkpoint.
    """
    for path in directory.glob("*.csv"):
        # Tables that other programs or people have put there are left alone.
        if _TABLE.fullmatch(path.name):
            tables.keep(path, "actor_steps", actor_steps)


def write_failure(directory: Path, error: BaseException) -> None:
    """Writes `failure.json`, which the process that launched the program reads.

    Only the first failure is kept, because later ones are usually its consequences.
    """
    path = directory / "failure.json"
    if not path.exists():
        failure = ProgramFailure(
            kind=type(error).__name__,
            message=" ".join(str(error).split()),
            is_final=isinstance(error, _FINAL) or type(error).__name__ in _FINAL_NAMES,
        )
        files.write_atomically(path, json.dumps(failure._asdict()) + "\n")


def read_failure(directory: Path) -> ProgramFailure | None:
    """Returns the first failure of the program, or None if it has written none."""
    failure = _read(directory / "failure.json")
    return None if failure is None else ProgramFailure(**failure)


def write_ending(directory: Path, counts: Mapping[str, float], plateau: Plateau | None = None) -> None:
    """Writes `ending.json`, which says that the program has started to stop itself.

    Args:
      directory: output directory of the run.
      counts: counts of steps, episodes and seconds, by name.
      plateau: the criterion that ended training, or None if all steps are made.
    """
    ending: dict[str, Any] = {**counts, "why": "plateau" if plateau else "budget"}
    if plateau is not None:
        ending["plateau"] = dataclasses.asdict(plateau)
    files.write_atomically(directory / "ending.json", json.dumps(ending) + "\n")


def finish(directory: Path) -> None:
    """Marks a program that stops itself as completely saved, by renaming `ending.json` to `finished.json`.

    Does nothing if the program is stopped from outside, since then there is no `ending.json`.
    """
    with contextlib.suppress(FileNotFoundError):
        os.replace(directory / "ending.json", directory / "finished.json")


def has_finished(directory: Path) -> bool:
    """Returns True if the program stopped itself and everything is saved."""
    return (directory / "finished.json").exists()


def is_ending(directory: Path) -> bool:
    """Returns True if the program has started to stop itself, or has finished.

    Actors keep running until everything is saved, but their steps no longer count.
    """
    return (directory / "ending.json").exists() or has_finished(directory)


def read_finished(directory: Path, config: AgentRunConfig) -> Finished | None:
    """Returns the regular end of the program, if it is one for this configuration.

    Args:
      directory: output directory of the run.
      config: current configuration, which may differ from the one that the program ended with.

    Returns:
      The end, or None if the program has not finished, or has neither made all the configured steps nor
      ended at the configured plateau.
    """
    counts = _read(directory / "finished.json")
    if counts is None:
        return None
    reason, reached = counts.pop("why", "budget"), counts.pop("plateau", None)
    made_all = counts.get("actor_steps", 0) >= config.actor_steps
    at_plateau = config.plateau is not None and reached == dataclasses.asdict(config.plateau)
    return Finished(counts, reason) if made_all or at_plateau else None


def is_at_plateau(directory: Path, plateau: Plateau, actor_steps: float = math.inf) -> bool:
    """Returns True if the evaluations so far show a plateau.

    Args:
      directory: output directory of the run.
      plateau: the stopping criterion.
      actor_steps: current number of steps. The newest evaluation must have been made before this step;
        otherwise the result is False. A program that ends here thus makes one more evaluation, at its last
        step, in a row of its own.
    """
    rows = tables.read(directory / "evaluation.csv")
    if not rows or rows[-1]["actor_steps"] >= actor_steps:
        return False
    if "exact_value" in rows[-1]:
        # Exact values have no sampling error.
        return has_plateaued([row["exact_value"] for row in rows], [0.0] * len(rows), plateau)
    returns, errors = ([row[name] for row in rows] for name in ("episode_return", "episode_return_stderr"))
    return has_plateaued(returns, errors, plateau)


def evaluated_at(directory: Path) -> float:
    """Returns the number of steps in the newest row of `evaluation.csv`, or -1 if there is no row."""
    rows = tables.read(directory / "evaluation.csv")
    return rows[-1]["actor_steps"] if rows else -1.0


def is_evaluated(directory: Path, finished: Finished) -> bool:
    """Returns True if `evaluation.csv` has the final row of a program with this end."""
    return evaluated_at(directory) >= finished.counts["actor_steps"]


def policy_file(directory: Path) -> Path:
    """Returns the path of a game-playing program's final policy, see `acme_psro.policies.stored`."""
    return directory / "policy.npz"


def newest_checkpoint(directory: Path) -> int | None:
    """Returns the number of steps at the newest checkpoint, or None if there is no checkpoint.

    The checkpoint is not read, so it may be damaged.
    """
    found = directory / "checkpoints"
    names = os.listdir(found) if found.is_dir() else []
    return max((int(name) for name in names if name.isdigit()), default=None)


def signs_of_life(directory: Path, config: AgentRunConfig) -> dict[str, Hashable]:
    """Returns values that change while a program makes progress.

    They are the modification times, in nanoseconds, of the tables of the learner and of each actor. If the
    program is stopping itself, the only value is constant, so its end must not take long.
    """
    if is_ending(directory):
        return {"ending": True}
    names = ["learner", "actor", *(f"actor_{number}" for number in range(1, config.num_actors))]
    signs: dict[str, Hashable] = {}
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            signs[name] = (directory / f"{name}.csv").stat().st_mtime_ns
    return signs


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def _has_checkpoint(directory: Path) -> bool:
    return directory.is_dir() and any(path.name.isdigit() for path in directory.iterdir())

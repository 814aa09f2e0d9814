"""What a run of one agent leaves on disk.

`config.json`, `learner.csv`, `actor.csv`, `evaluation.csv`, `evaluation.png`, `checkpoints/` and `events/`;
of a Launchpad program also `starts.csv`, `program.log`, and one of `finished.json` and `failure.json`; in a
game then `policy.npz` too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.plateau import Plateau, has_plateaued
from acme_psro.storage import run_directory
from acme_psro.system import files, tables

# How far to go and by which means, not what to learn.
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
)
# Mistakes, in the input or in code; and what learning or an environment has come to.
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
_ENDS = ("ending", "finished", "failure")
_FINAL_NAMES = ("DivergedError", "NonFiniteError")


def check(directory: Path, config: AgentRunConfig, resume: bool) -> None:
    """Checks that the run may begin, or go on, in the directory; writes nothing.

    Raises:
      RunDirectoryError: it may not; the message says why and what to do.
    """
    run_directory.check(directory, config.to_json(), resume, _has_checkpoint, _MAY_DIFFER)


class ProgramFailure(NamedTuple):
    """Why a program failed.

    Attributes:
      kind: the exception's.
      message: the exception's, in one line.
      is_final: whether it comes from the input or the code, so that another launch would only repeat it.
        A lost process shows as an error in what talks to it, which does not.
    """

    kind: str
    message: str
    is_final: bool


class Finished(NamedTuple):
    """How a program ended.

    Attributes:
      counts: the last ones, of steps, episodes and seconds, by name.
      why: "budget", all configured steps were made, or "plateau".
    """

    counts: dict[str, float]
    why: str


def begin(directory: Path, config: AgentRunConfig) -> None:
    """Makes the directory and writes `config.json`."""
    run_directory.write_config(directory, config.to_json())
    for path in (*(directory / f"{name}.json" for name in _ENDS), policy_file(directory)):
        path.unlink(missing_ok=True)


def rewind(directory: Path, actor_steps: float) -> None:
    """Drops what the tables hold of later than the checkpoint that a run goes on from."""
    for path in directory.glob("*.csv"):
        tables.keep(path, "actor_steps", actor_steps)


def write_failure(directory: Path, error: BaseException) -> None:
    """Leaves a program's first failure for whoever started it."""
    path = directory / "failure.json"
    if not path.exists():
        failure = ProgramFailure(
            kind=type(error).__name__,
            message=" ".join(str(error).split()),
            is_final=isinstance(error, _FINAL) or type(error).__name__ in _FINAL_NAMES,
        )
        files.write_atomically(path, json.dumps(failure._asdict()) + "\n")


def read_failure(directory: Path) -> ProgramFailure | None:
    """The first failure, if a program left one."""
    failure = _read(directory / "failure.json")
    return None if failure is None else ProgramFailure(**failure)


def write_ending(directory: Path, counts: Mapping[str, float], plateau: Plateau | None = None) -> None:
    """Notes why a program stops itself: at a plateau or, without one, because all steps are made."""
    ending: dict[str, Any] = {**counts, "why": "plateau" if plateau else "budget"}
    if plateau is not None:
        ending["plateau"] = dataclasses.asdict(plateau)
    files.write_atomically(directory / "ending.json", json.dumps(ending) + "\n")


def finish(directory: Path) -> None:
    """Notes that all is saved of a program that stops itself; of one that is stopped, nothing."""
    with contextlib.suppress(FileNotFoundError):
        os.replace(directory / "ending.json", directory / "finished.json")


def has_finished(directory: Path) -> bool:
    """Whether all is saved of a program that stops itself."""
    return (directory / "finished.json").exists()


def is_ending(directory: Path) -> bool:
    """Whether the program stops itself: actors go on until all is saved, but what they do does not count."""
    return (directory / "ending.json").exists() or has_finished(directory)


def read_finished(directory: Path, config: AgentRunConfig) -> Finished | None:
    """How the program ended, if it made all the configured steps or ended at the configured plateau."""
    counts = _read(directory / "finished.json")
    if counts is None:
        return None
    why, reached = counts.pop("why", "budget"), counts.pop("plateau", None)
    made_all = counts.get("actor_steps", 0) >= config.actor_steps
    at_plateau = config.plateau is not None and reached == dataclasses.asdict(config.plateau)
    return Finished(counts, why) if made_all or at_plateau else None


def is_at_plateau(directory: Path, plateau: Plateau, actor_steps: float = math.inf) -> bool:
    """Whether evaluations say so that were made before so many steps.

    The last evaluation of a program, at its last step, is then one of its own.
    """
    rows = tables.read(directory / "evaluation.csv")
    if not rows or rows[-1]["actor_steps"] >= actor_steps:
        return False
    if "exact_value" in rows[-1]:
        return has_plateaued([row["exact_value"] for row in rows], [0.0] * len(rows), plateau)
    returns, errors = ([row[name] for row in rows] for name in ("episode_return", "episode_return_stderr"))
    return has_plateaued(returns, errors, plateau)


def evaluated_at(directory: Path) -> float:
    """The steps that the newest row of `evaluation.csv` was made at; -1 where there is none."""
    rows = tables.read(directory / "evaluation.csv")
    return rows[-1]["actor_steps"] if rows else -1.0


def is_evaluated(directory: Path, finished: Finished) -> bool:
    """Whether `evaluation.csv` has the last row of a program that ended like that."""
    return evaluated_at(directory) >= finished.counts["actor_steps"]


def policy_file(directory: Path) -> Path:
    """Where a program that played a game leaves the policy it came to, see `acme_psro.policies.stored`."""
    return directory / "policy.npz"


def newest_checkpoint(directory: Path) -> int | None:
    """The steps that the newest checkpoint was made at; whether it is whole, nobody has looked."""
    found = directory / "checkpoints"
    names = os.listdir(found) if found.is_dir() else []
    return max((int(name) for name in names if name.isdigit()), default=None)


def signs_of_life(directory: Path, config: AgentRunConfig) -> dict[str, Hashable]:
    """Values that change while a program goes on: when the learner and each actor last wrote something.

    A program that stops itself has only one sign left, which does not change: its end must not take long.
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

"""A self-play run as a job: its child process, its end, and its failures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from acme_psro.agent_runs import placement
from acme_psro.agent_runs.program_jobs import command_of
from acme_psro.self_play_runs.config import SelfPlayRunConfig
from acme_psro.self_play_runs.work import steps_done
from acme_psro.system import tables
from acme_psro.system.files import write_atomically
from acme_psro.system.jobs import Failure, Job
from acme_psro.system.tables import Row

# File in the directory of a run whose job is done: it comes back last.
FINISHED = "finished.json"
_VERSION = 1
_CHILD = "acme_psro.self_play_runs.child"
# A child that says why it ends prints this before its reason.
_REASON = ": error: "


def make_job(config: SelfPlayRunConfig, directory: Path, sharing_devices: int = 1) -> Job:
    """Returns the job that carries a run out from its newest checkpoint, or from its beginning.

    Args:
      config: the run's configuration.
      directory: the run's directory, in which it may begin or go on.
      sharing_devices: number of jobs that may use the same device at the same time, this one included.
    """
    return Job(
        name="the self-play run",
        command=command_of(_CHILD, dataclasses.asdict(config), directory),
        is_done=lambda: is_done(config, directory),
        failure=describe_failure,
        landmark=lambda: max((path.name for path in (directory / "checkpoints").glob("state_*")), default=""),
        environment=placement.environment("", sharing_devices),
        directory=directory,
        marker=FINISHED,
    )


def is_done(config: SelfPlayRunConfig, directory: Path) -> bool:
    """Returns True if a job has carried the run out up to all of its steps."""
    is_finished = (directory / FINISHED).is_file()
    return is_finished and steps_done(config.to_json(), directory, read_rows(directory)) >= config.steps


def write_finished(directory: Path) -> None:
    """Records that the run in a directory is done."""
    write_atomically(directory / FINISHED, json.dumps({"version": _VERSION}) + "\n")


def read_rows(directory: Path) -> list[Row]:
    """Returns the rows of a run's metrics so far."""
    try:
        return tables.read(directory / "metrics.csv")
    except FileNotFoundError:
        return []


def describe_failure(how: str) -> Failure:
    """Returns the failure of a child that ended before the run was done.

    Args:
      how: how it ended, with the last line that it printed, if any.
    """
    _, separator, reason = how.partition(_REASON)
    # A run that tells its reason would end in the same way again.
    if separator:
        return Failure(reason, is_final=True)
    return Failure(f"the self-play run {how}")

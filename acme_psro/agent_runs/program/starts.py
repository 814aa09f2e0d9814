"""Start-up times of a program, from the start of its child process to the end of the first gradient step.

`starts.csv` has a row for each launch. The columns are the number of actor steps from which the launch
resumed, and three times in seconds since the child process started: until the learner's process started
(`learner_process_seconds`), until the learner was made (`learner_made_seconds`), and until its first gradient
step was done (`first_step_seconds`).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from acme_psro.system import tables

_VARIABLE = "AGENT_RUN_CHILD_STARTED"


def begin() -> None:
    """Records the start time of this process for its nodes. The child process calls this first."""
    os.environ[_VARIABLE] = repr(psutil.Process().create_time())


def write(directory: Path, actor_steps: float, made_at: float) -> None:
    """Adds a row to `starts.csv`. The learner calls this after its first gradient step.

    Args:
      directory: output directory of the run.
      actor_steps: number of actor steps from which this launch resumed.
      made_at: `time.time()` when the learner was made.
    """
    now, process = time.time(), psutil.Process().create_time()
    write_times(directory, actor_steps, process, made_at, now)


def write_times(directory: Path, actor_steps: float, process: float, made_at: float, now: float) -> None:
    """Adds a row to `starts.csv` for a learner in any process.

    Args:
      directory: output directory of the run.
      actor_steps: number of actor steps from which this launch resumed.
      process: when the learner's process started, in seconds since the epoch, as the other times.
      made_at: when the learner was made.
      now: when its first gradient step was done.
    """
    # `time.time()` and the operating system's start times share an epoch, so times from different processes
    # can be compared.
    child = float(os.environ.get(_VARIABLE, process))
    row = {
        "actor_steps": actor_steps,
        "learner_process_seconds": process - child,
        "learner_made_seconds": made_at - child,
        "first_step_seconds": now - child,
    }
    tables.Table(directory / "starts.csv", "actor_steps").write(row)

"""Start-up times of a program, from its child's first moment to the first gradient step.

`starts.csv` has a row for each launch: the steps that it went on from, and seconds since the child began:
until the learner's process began, until the learner was made, and until its first step was done.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from acme_psro.system import tables

_VARIABLE = "AGENT_RUN_CHILD_STARTED"


def begin() -> None:
    """Is called by the child, to let its nodes know when it began."""
    os.environ[_VARIABLE] = repr(psutil.Process().create_time())


def write(directory: Path, actor_steps: float, made_at: float) -> None:
    """Adds a row; is called by the learner when its first step is done.

    Args:
      directory: of the run.
      actor_steps: that the launch went on from.
      made_at: `time.time()` when the learner was made.
    """
    now, process = time.time(), psutil.Process().create_time()
    child = float(os.environ.get(_VARIABLE, process))
    row = {
        "actor_steps": actor_steps,
        "learner_process_seconds": process - child,
        "learner_made_seconds": made_at - child,
        "first_step_seconds": now - child,
    }
    tables.Table(directory / "starts.csv", "actor_steps").write(row)

"""Child processes of programs: refused configurations, log files and their end, without Acme."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jax

from acme_psro.system import jobs

PartsT = TypeVar("PartsT")


def make_or_refuse(make: Callable[[], PartsT], on_cpu: bool) -> PartsT:
    """Returns what a program is made of; exits with code 2 and one line if its configuration is refused.

    Args:
      make: makes the parts; may raise a ValueError.
      on_cpu: True if this process is to use no accelerator.
    """
    if on_cpu:
        # The accelerators belong to the learner's process, so this one must not reserve their memory.
        jax.config.update("jax_platforms", "cpu")
    try:
        return make()
    except ValueError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(jobs.BAD_INPUT)


def log_to(path: Path) -> None:
    """Appends all further output of this process and of its child processes to a file."""
    with open(path, "ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)


def end_with_parent() -> None:
    """Starts a thread that kills this process's group once the parent process no longer exists."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()

"""Number of processor cores that are available to this process."""

from __future__ import annotations

import os


def count() -> int:
    """Returns the number of cores that this process may use, at least 1.

    A container or a batch system may give a process fewer cores than the machine has. If the operating system
    does not report this, all cores of the machine are counted.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

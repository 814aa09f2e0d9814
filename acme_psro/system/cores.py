"""Processor cores: how many are available to this process, and how many linear algebra takes."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def count() -> int:
    """Returns the number of cores that this process may use, at least 1.

    A container or a batch system may give a process fewer cores than the machine has. If the operating system
    does not report this, all cores of the machine are counted.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def one_blas_thread() -> contextlib.AbstractContextManager[object]:
    """Returns a context in which NumPy's linear algebra uses one thread.

    Many solutions of small systems take 30 to 80 times longer with several threads if other threads or
    processes keep the cores busy, as JAX does: every call waits for all of its threads to get a core.
    """
    return _blas().limit(limits=1, user_api="blas")


@functools.cache
def _blas() -> ThreadpoolController:
    """Returns the controller of the libraries that are loaded; looking for them takes some milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()

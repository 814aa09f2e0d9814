"""Replacements of what a worker meets in a program: Launchpad's waiting, and the counter of the run."""

import itertools
import time
from collections.abc import Callable

import agents.acme_layer.compat  # noqa: F401

# isort: split

from acme.utils import counting


def stop_after(polls: int) -> Callable[[float], bool]:
    """Returns a replacement of Launchpad's `wait_for_stop` that stops after this number of short waits."""
    count = itertools.count()

    def wait(seconds: float) -> bool:
        time.sleep(0.05)
        return next(count) >= polls

    return wait


def counter_at(**counts: float) -> counting.Counter:
    counter = counting.Counter()
    counter.increment(**counts)
    return counter

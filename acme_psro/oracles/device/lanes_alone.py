"""Programs that compute each lane of a request by a call of its own.

XLA compiles other code for one lane than for several side by side, whose numbers are rounded differently. So
it is a setting of a run how its lanes are computed, and not a matter of the machines on which it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from acme_psro.oracles.asking import Lanes, Results
from acme_psro.oracles.device.lanes import LaneProgram
from acme_psro.system import cores


def cut(request: Lanes) -> list[Lanes]:
    """Returns each lane of a request `[L, ..]` as a request `[1, ..]`."""
    num = len(jax.tree.leaves(request)[0])
    return [
        jax.tree.map(lambda leaf, lane=lane: np.asarray(leaf)[lane : lane + 1], request)
        for lane in range(num)
    ]


def join(results: Sequence[Results]) -> Results:
    """Returns results `[1, ..]` of lanes as those of one request `[L, ..]`."""
    return jax.tree.map(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves]), *results)


class LanesAlone:
    """A program on this machine, see `acme_psro.oracles.asking.Program`.

    Args:
      program: takes requests of one lane.
      runs: the number of runs that share it.
    """

    most_requests = 1

    def __init__(self, program: LaneProgram, runs: int = 1) -> None:
        self.parallel_calls = runs
        self._program = program
        # On a processor each call keeps one core busy. Other devices take one call after the other.
        threads = cores.count() if program.is_on_processor else 1
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="lane")

    def __call__(self, requests: Sequence[Lanes]) -> list[Any]:
        """Returns the results `[L, ..]` of requests `[L, ..]`."""
        asked = [[self._pool.submit(self._program, [lane]) for lane in cut(request)] for request in requests]
        return [join([call.result()[0] for call in calls]) for calls in asked]

"""Components of simulated programs: cores that all threads share, and Reverb's server."""

from __future__ import annotations

import collections
import functools
import heapq
import itertools
from collections.abc import Callable

from experiments.benchmarks.scaling.model import Setup, Work

Then = Callable[[], None]


class Machine:
    """The clock, and cores that all running threads share equally.

    Virtual time advances by the work that each running thread has done. The virtual time at which work ends
    is therefore known when it begins, however many other threads start or end meanwhile.

    Attributes:
      clock: simulated seconds since the beginning.
    """

    def __init__(self, cores: float) -> None:
        self.clock = 0.0
        self._cores = cores
        self._virtual = 0.0
        self._threads = 0.0
        self._running: list[tuple[float, int, float, Then]] = []
        self._numbers = itertools.count()

    def start(self, work: Work, times: float, then: Then) -> None:
        """Begins `times` repetitions of some work, and calls `then` when they are done."""
        self._threads += work.cores
        end = self._virtual + work.seconds * times
        heapq.heappush(self._running, (end, next(self._numbers), work.cores, then))

    def advance(self) -> None:
        """Advances the clock to the end of the work that ends first, and calls its `then`."""
        end, _, cores, then = heapq.heappop(self._running)
        # With more threads than cores, each thread is slowed down by the same factor.
        self.clock += (end - self._virtual) * max(1.0, self._threads / self._cores)
        self._virtual = end
        # Reset to exactly zero when nothing runs, so that rounding errors do not accumulate.
        self._threads = self._threads - cores if self._running else 0.0
        then()


class Replay:
    """Reverb's server, which serves one request at a time if the rate limiter allows it.

    Attributes:
      inserted: the number of decisions inserted so far.
    """

    def __init__(self, machine: Machine, setup: Setup) -> None:
        self._machine = machine
        self._setup = setup
        self.inserted = 0
        self._drawn = 0
        self._inserts = collections.deque[tuple[int, Then]]()
        self._draws = collections.deque[tuple[int, Then]]()
        self._is_busy = False
        self._drew_last = False
        # Large requests are split, because otherwise both sides could wait for each other forever.
        most = min(setup.slack / 2, 2.0**31)
        self._most_drawn = int(most)
        self._most_inserted = int(most / max(setup.limiter.samples_per_insert, 1.0))

    def insert(self, size: int, then: Then) -> None:
        """Requests the insertion of `size` decisions, and calls `then` when all are inserted."""
        self._inserts.extend(_parts(size, self._most_inserted, then))
        self._serve()

    def draw(self, size: int, then: Then) -> None:
        """Requests `size` decisions, and calls `then` when all are drawn."""
        self._draws.extend(_parts(size, self._most_drawn, then))
        self._serve()

    def _serve(self) -> None:
        """Begins the next request that the limiter allows, if the server is idle."""
        if self._is_busy:
            return
        limiter, so_far = self._setup.limiter, (self.inserted, self._drawn)
        may_insert = bool(self._inserts) and limiter.may_insert(self._inserts[0][0], *so_far)
        may_draw = bool(self._draws) and limiter.may_draw(self._draws[0][0], *so_far)
        # Alternate if both kinds of requests are allowed.
        draws = may_draw and not (may_insert and self._drew_last)
        if draws:
            size, then = self._draws.popleft()
            self._drawn += size
            self._begin(self._setup.services.draw, size, then)
        elif may_insert:
            size, then = self._inserts.popleft()
            self.inserted += size
            self._begin(self._setup.services.insert, size, then)
        self._drew_last = draws

    def _begin(self, work: Work, size: int, then: Then) -> None:
        self._is_busy = True
        self._machine.start(work, size, functools.partial(self._end, then))

    def _end(self, then: Then) -> None:
        self._is_busy = False
        then()
        self._serve()


def _parts(size: int, most: int, then: Then) -> list[tuple[int, Then]]:
    """Splits a request into parts of at most `most` decisions; `then` belongs to the last part."""
    sizes = [most] * ((size - 1) // most)
    return [*((part, _nothing) for part in sizes), (size - sum(sizes), then)]


def _nothing() -> None:
    pass

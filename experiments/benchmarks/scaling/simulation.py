"""Discrete-event simulation of a program of actors, replay and learner.

Actors play several games in parallel and write their experience. An actor waits if more decisions are on
their way to replay than its adder allows. Replay serves one request at a time, as its rate limiter permits,
and alternates between insertions and draws. Streams in the learner's process draw samples and convert them to
arrays ahead of the learner, which also answers requests for variables. All of them share the cores of one
machine equally, or have as many cores as they can use. Nothing is random.
"""

from __future__ import annotations

import collections
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

from experiments.benchmarks.scaling.events import Machine, Replay, Then
from experiments.benchmarks.scaling.model import Setup

_LEAST_STEPS = 20_000
# Env steps come in lumps. The measured window contains at least this number of lumps, so that partial
# lumps at its ends do not matter.
_LEAST_LUMPS = 200


class Pace(NamedTuple):
    """Speed of a program: env steps and gradient steps per second."""

    env_steps: float
    gradient_steps: float


def simulate(setup: Setup, num_actors: int, cores: float = math.inf) -> Pace:
    """Simulates a program and returns its speed in the steady state.

    Args:
      setup: the program without its number of actors.
      num_actors: the number of actors.
      cores: the number of cores of the machine; if infinite, no thread waits for a core.

    Raises:
      ValueError: there is no actor, or no core.
    """
    if num_actors < 1 or not cores > 0:
        raise ValueError(f"a program needs an actor and a core, not {num_actors} and {cores}.")
    machine = Machine(cores)
    replay = Replay(machine, setup)
    learner = _Learner(machine, replay, setup)
    for number in range(num_actors):
        _Actor(machine, replay, learner, setup).begin((number + 1) / num_actors)
    drawn = setup.limiter.samples_per_insert
    lump = max(num_actors * setup.games, setup.sample_size / drawn if drawn else 0.0)
    window = max(_LEAST_STEPS, _LEAST_LUMPS * lump)
    # Before the measured window, replay must hold enough decisions and the rate limiter must have left its
    # initial state.
    slack = setup.slack / drawn if drawn and math.isfinite(setup.slack) else 0.0
    begin = setup.limiter.min_size * (drawn > 0) + 2 * slack + window / 4
    marks = []
    for end in (begin, begin + window):
        while replay.inserted < end:
            machine.advance()
        marks.append((machine.clock, replay.inserted, learner.gradient_steps))
    seconds, inserted, learned = (after - before for before, after in zip(*marks, strict=True))
    return Pace(inserted / seconds, learned / seconds)


class _Stream:
    """Stream that converts a drawn sample to arrays while the next sample is drawn."""

    def __init__(
        self, machine: Machine, replay: Replay, setup: Setup, offer: Callable[[_Stream], None]
    ) -> None:
        self._machine = machine
        self._replay = replay
        self._setup = setup
        self._offer = offer
        self._is_drawn = False
        self._is_free = True
        self._draw()

    def read_next(self) -> None:
        """Continues with the next sample, after the learner has accepted the last one."""
        self._is_free = True
        self._go_on()

    def _draw(self) -> None:
        self._replay.draw(self._setup.sample_size, self._drawn)

    def _drawn(self) -> None:
        self._is_drawn = True
        self._go_on()

    def _go_on(self) -> None:
        if self._is_drawn and self._is_free:
            self._is_drawn = self._is_free = False
            size = self._setup.sample_size
            self._machine.start(self._setup.services.read, size, lambda: self._offer(self))
            self._draw()


class _Learner:
    """Learner that takes samples from streams; requests for variables have priority over learning."""

    def __init__(self, machine: Machine, replay: Replay, setup: Setup) -> None:
        self._machine = machine
        self._setup = setup
        self.gradient_steps = 0
        self._num_ready = 0
        # Streams whose sample does not fit into the prefetch buffer yet.
        self._waiting = collections.deque[_Stream]()
        self._requests = collections.deque[Then]()
        self._is_busy = False
        for _ in range(setup.streams if setup.limiter.samples_per_insert else 0):
            _Stream(machine, replay, setup, self._offer)

    def fetch(self, then: Then) -> None:
        """Requests variables, and calls `then` when the request is answered."""
        self._requests.append(then)
        self._go_on()

    def _offer(self, stream: _Stream) -> None:
        if self._num_ready < self._setup.prefetch:
            self._num_ready += 1
            stream.read_next()
        else:
            self._waiting.append(stream)
        self._go_on()

    def _go_on(self) -> None:
        services = self._setup.services
        if self._is_busy:
            return
        if self._requests:
            self._is_busy = True
            self._machine.start(services.fetch, 1, functools.partial(self._end, self._requests.popleft()))
        elif self._num_ready:
            self._is_busy = True
            self._num_ready -= 1
            self._machine.start(services.learn, self._setup.gradient_steps, self._end_step)
            if self._waiting:
                self._num_ready += 1
                self._waiting.popleft().read_next()

    def _end_step(self) -> None:
        self.gradient_steps += self._setup.gradient_steps
        self._end(lambda: None)

    def _end(self, then: Then) -> None:
        self._is_busy = False
        then()
        self._go_on()


class _Actor:
    """Actor that acts, writes, and requests variables periodically, with one request at a time."""

    def __init__(self, machine: Machine, replay: Replay, learner: _Learner, setup: Setup) -> None:
        self._machine = machine
        self._replay = replay
        self._learner = learner
        self._setup = setup
        self._num_pending = 0
        self._steps_since_fetch = 0
        self._waits = False
        self._asks = False

    def begin(self, share: float) -> None:
        """Begins to act.

        Args:
          share: fraction of the usual time that the first step takes, so that actors are not in phase.
        """
        self._machine.start(self._setup.services.act, self._setup.games * share, self._write)

    def _write(self) -> None:
        games = self._setup.games
        self._num_pending += games
        self._replay.insert(games, functools.partial(self._written, games))
        self._steps_since_fetch += games
        if self._steps_since_fetch >= self._setup.fetch_period and not self._asks:
            self._asks, self._steps_since_fetch = True, 0
            self._learner.fetch(self._answered)
        self._waits = True
        self._go_on()

    def _written(self, size: int) -> None:
        self._num_pending -= size
        self._go_on()

    def _answered(self) -> None:
        self._asks = False

    def _go_on(self) -> None:
        if self._waits and self._num_pending <= self._setup.pending:
            self._waits = False
            self._machine.start(self._setup.services.act, self._setup.games, self._write)

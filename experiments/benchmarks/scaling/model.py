"""A program of actors, replay and learner by its parts' service times, and the bounds that these set.

Every env step is one decision that is inserted into replay. `simulation` lets such a program run.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import NamedTuple

# What has this share of the highest rate has got there.
_SATURATED = 0.95


class Work(NamedTuple):
    """Something to be done.

    Attributes:
      seconds: that it takes where cores are free.
      cores: that it uses at once.
    """

    seconds: float
    cores: float = 1.0


class Services(NamedTuple):
    """The work that parts of a program have.

    Attributes:
      act: of an actor, for an env step, writing included.
      insert: of replay, for a decision that is written.
      draw: of replay, for a decision that is drawn.
      read: of a stream of the learner's process, for a decision that is drawn.
      learn: of the learner, for a gradient step.
      fetch: of the learner, for a request for variables.
    """

    act: Work
    insert: Work
    draw: Work
    read: Work
    learn: Work
    fetch: Work


class Limiter(NamedTuple):
    """Reverb's rate limiter: `inserted * samples_per_insert - drawn` stays within bounds.

    Attributes:
      samples_per_insert: of a decision; 0: nobody draws.
      min_size: decisions that may be inserted freely, and before which none is drawn.
      min_diff: less than this, and nothing is drawn.
      max_diff: more than this, and nothing is inserted.
    """

    samples_per_insert: float
    min_size: float
    min_diff: float
    max_diff: float

    def may_insert(self, size: int, inserted: int, drawn: int) -> bool:
        """Whether so many decisions more may be inserted."""
        after = inserted + size
        return after <= self.min_size or after * self.samples_per_insert - drawn <= self.max_diff

    def may_draw(self, size: int, inserted: int, drawn: int) -> bool:
        """Whether so many decisions more may be drawn."""
        left = inserted * self.samples_per_insert - drawn - size
        return inserted >= self.min_size and left >= self.min_diff


@dataclasses.dataclass(frozen=True)
class Setup:
    """A program, except for how many actors it has.

    Attributes:
      services: what its parts have to do.
      limiter: of replay.
      batch_size: decisions in a gradient step.
      gradient_steps: that the learner does at once, with one sample.
      games: env steps that an actor makes at once.
      pending: decisions of an actor that may be under way to replay when it goes on.
      fetch_period: env steps of an actor between two requests for variables.
      streams: in which samples are drawn.
      prefetch: samples that are kept ready.

    Raises:
      ValueError: a size below 1, or bounds of the limiter that leave both sides waiting.
    """

    services: Services
    limiter: Limiter
    batch_size: int
    gradient_steps: int = 1
    games: int = 1
    pending: int = 2
    fetch_period: int = 10
    streams: int = 1
    prefetch: int = 1

    def __post_init__(self) -> None:
        names = ("batch_size", "gradient_steps", "games", "pending", "fetch_period", "streams", "prefetch")
        for name in names:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.slack < 2 * max(1.0, self.limiter.samples_per_insert):
            raise ValueError(
                f"the limiter's bounds {self.limiter.min_diff} and {self.limiter.max_diff} lie too close for "
                f"{self.limiter.samples_per_insert} samples per insert: they need twice as much between them."
            )

    @property
    def slack(self) -> float:
        """Between the limiter's bounds."""
        return self.limiter.max_diff - self.limiter.min_diff

    @property
    def sample_size(self) -> int:
        """Decisions that the learner takes at once."""
        return self.batch_size * self.gradient_steps


def bounds(setup: Setup, num_actors: int, cores: float = math.inf) -> dict[str, float]:
    """Env steps a second that each part of a program would allow if nothing else took time."""
    services, drawn = setup.services, setup.limiter.samples_per_insert
    per_step = {
        "actors": Work(services.act.seconds / num_actors, services.act.cores * num_actors),
        "replay": _both(services.insert, _times(services.draw, drawn)),
        "reading": Work(services.read.seconds * drawn / setup.streams, services.read.cores * setup.streams),
        "learner": _times(services.learn, drawn / setup.batch_size),
    }
    found = {name: _rate(work.seconds) for name, work in per_step.items()}
    return found | {"cores": cores * _rate(sum(work.seconds * work.cores for work in per_step.values()))}


def saturation(rates: Mapping[int, float]) -> int | None:
    """The fewest actors that are about as fast as the most; None where only the most are."""
    fewest = min(number for number, rate in rates.items() if rate >= _SATURATED * rates[max(rates)])
    return None if fewest == max(rates) else fewest


def _times(work: Work, times: float) -> Work:
    return Work(work.seconds * times, work.cores)


def _both(one: Work, other: Work) -> Work:
    """One after the other."""
    seconds = one.seconds + other.seconds
    used = one.seconds * one.cores + other.seconds * other.cores
    return Work(seconds, used / seconds if seconds else 1.0)


def _rate(seconds: float) -> float:
    return 1 / seconds if seconds else math.inf

"""Model of a program of actors, replay and learner: service times of its parts, and bounds on its speed.

Every env step is one decision that is inserted into replay. `simulation` runs such a model.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import NamedTuple

# A rate counts as saturated at this fraction of the highest rate.
_SATURATED = 0.95


class Work(NamedTuple):
    """Work of a thread or of several threads.

    Attributes:
      seconds: duration of the work if enough cores are free.
      cores: the number of cores that the work uses at the same time.
    """

    seconds: float
    cores: float = 1.0


class Services(NamedTuple):
    """Work of the parts of a program.

    Attributes:
      act: work of an actor for one env step, including writing.
      insert: work of replay for one decision that is written.
      draw: work of replay for one decision that is drawn.
      read: work of a stream in the learner's process for one decision that is drawn.
      learn: work of the learner for one gradient step.
      fetch: work of the learner for one request for variables.
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
      samples_per_insert: how many times each decision is drawn on average; 0 if nothing is drawn.
      min_size: number of decisions that may be inserted freely, and before which none is drawn.
      min_diff: lower bound, below which nothing is drawn.
      max_diff: upper bound, above which nothing is inserted.
    """

    samples_per_insert: float
    min_size: float
    min_diff: float
    max_diff: float

    def may_insert(self, size: int, inserted: int, drawn: int) -> bool:
        """Returns True if `size` more decisions may be inserted."""
        after = inserted + size
        return after <= self.min_size or after * self.samples_per_insert - drawn <= self.max_diff

    def may_draw(self, size: int, inserted: int, drawn: int) -> bool:
        """Returns True if `size` more decisions may be drawn."""
        left = inserted * self.samples_per_insert - drawn - size
        return inserted >= self.min_size and left >= self.min_diff


@dataclasses.dataclass(frozen=True)
class Setup:
    """A program without its number of actors.

    Attributes:
      services: work of the program's parts.
      limiter: replay's rate limiter.
      batch_size: decisions in a gradient step.
      gradient_steps: gradient steps that the learner does at once, with one sample.
      games: env steps that an actor makes at once, one in each of its games.
      pending: decisions of an actor that may be on their way to replay while it continues to act.
      fetch_period: env steps of an actor between two requests for variables.
      streams: the number of streams that draw samples in parallel.
      prefetch: the number of samples that are kept ready for the learner.

    Raises:
      ValueError: a size is below 1, or the limiter's bounds are so close that both sides could wait forever.
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
        """The distance between the limiter's bounds."""
        return self.limiter.max_diff - self.limiter.min_diff

    @property
    def sample_size(self) -> int:
        """Decisions that the learner takes at once."""
        return self.batch_size * self.gradient_steps


def bounds(setup: Setup, num_actors: int, cores: float = math.inf) -> dict[str, float]:
    """Returns the env steps per second that each part would allow if the other parts took no time."""
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
    """Returns the smallest number of actors with about the highest rate.

    Args:
      rates: env steps per second by the number of actors.

    Returns:
      None if only the largest number of actors reaches the highest rate.
    """
    fewest = min(number for number, rate in rates.items() if rate >= _SATURATED * rates[max(rates)])
    return None if fewest == max(rates) else fewest


def _times(work: Work, times: float) -> Work:
    return Work(work.seconds * times, work.cores)


def _both(one: Work, other: Work) -> Work:
    """Returns the work of doing one work after the other, with the mean number of cores."""
    seconds = one.seconds + other.seconds
    used = one.seconds * one.cores + other.seconds * other.cores
    return Work(seconds, used / seconds if seconds else 1.0)


def _rate(seconds: float) -> float:
    return 1 / seconds if seconds else math.inf

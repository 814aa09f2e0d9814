"""Interface of all oracles: best-response tasks in, responses out.

The type of policies is that of the populations: an `acme_psro.policies.tabular.Policy` in a compiled game, an
`acme_psro.policies.stored.PolicyFile` if payoffs are sampled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Generic, Protocol, runtime_checkable

import numpy as np

from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.policies.meta_strategy import PopulationStrategy


@dataclasses.dataclass(frozen=True)
class Counts:
    """Work done to find responses.

    Attributes:
      episodes: games played.
      env_steps: decisions taken by the learning player.
      gradient_steps: optimiser updates of the critic.
    """

    episodes: int = 0
    env_steps: int = 0
    gradient_steps: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.episodes + other.episodes,
            self.env_steps + other.env_steps,
            self.gradient_steps + other.gradient_steps,
        )


NO_WORK = Counts()


@dataclasses.dataclass(frozen=True, eq=False)
class BestResponseTask(Generic[PolicyT, PayoffsT]):
    """Find a best response for one player against the others' meta-strategy.

    Attributes:
      player: the player who responds.
      populations: of all players.
      meta_strategy: the distribution by which the others draw their policies.
      payoffs: payoffs of the populations' profiles; None if the oracle does not need them.
      weight: the probability of the situation to which the task belongs, if the player has several tasks in
        one iteration. Gains of a player's tasks add up with these weights.
    """

    player: int
    populations: tuple[tuple[PolicyT, ...], ...]
    meta_strategy: PopulationStrategy
    payoffs: PayoffsT | None = None
    weight: float = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Response(Generic[PolicyT]):
    """An oracle's result for one task.

    Attributes:
      policy: the response, or None if no response was found that gains over the mixture.
      gain: the response's gain over the mixture, in utility units, also if it was not kept.
      best_gain: the gain of an exact best response; NaN if it is unknown.
      counts: the work done for it.
      metrics: the learner's own figures at the end of training.
      standard_error: of the gain; 0 if the gain is exact.
      own_error: the part of the standard error that comes from the mixture's own return.
      others: further policies found for the task that gain over the mixture too, for loops that can use more
        than the best one.
      payoffs: `[P, n_1, .., n_P]`, payoffs of all players' populations, from an oracle that trains whole
        populations and knows them; the same in the responses of all players.
    """

    policy: PolicyT | None
    gain: float
    best_gain: float
    counts: Counts = NO_WORK
    metrics: Mapping[str, float] = MappingProxyType({})
    standard_error: float = 0.0
    own_error: float = 0.0
    others: tuple[PolicyT, ...] = ()
    payoffs: np.ndarray | None = None


# An oracle's memory as arrays by name.
Memory = Mapping[str, np.ndarray]
NO_MEMORY: Memory = MappingProxyType({})


@runtime_checkable
class Remembering(Protocol):
    """An oracle that remembers something from one call to the next, which checkpoints keep."""

    def memory(self) -> Memory:
        """Returns all that it remembers."""
        ...

    def remember(self, memory: Memory) -> None:
        """Makes it go on as if it had never stopped.

        Raises:
          ValueError: this is not the memory of such an oracle for this game.
        """
        ...


@runtime_checkable
class Closing(Protocol):
    """An oracle that keeps processes of its own."""

    def close(self) -> None:
        """Ends them, and returns when none is left."""
        ...


# key `[2]` uint32 (raw bits, split before every use) and tasks in, one response a task out.
Oracle = Callable[[np.ndarray, Sequence[BestResponseTask[PolicyT, PayoffsT]]], Sequence[Response[PolicyT]]]

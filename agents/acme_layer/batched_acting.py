"""Acting in many games at once: one jitted call of the policy for all that one process plays.

Where games are quick, a process that asks its policy for one action at a time waits for Python and JAX to
hand a few numbers over. Here they hand over those of all games together.

Dimensions: `E` games.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
import numpy as np
from acme import core
from acme.jax import variable_utils
from acme.utils import counting, loggers, signals

from agents.acme_layer.batched_adding import BatchAdder
from agents.core import Key, Variables

# (variables, key, observations [E, ..]) -> actions [E, ..] as environments take them, and what is told of
# each: a mapping to arrays [E], which may be empty.
BatchedPolicy = Callable[[Variables, Key, Any], tuple[jax.Array, Mapping[str, jax.Array]]]


class Steps(Protocol):
    """What came of a step of every game."""

    @property
    def observation(self) -> Any:
        """Arrays `[E, ..]`; where `last`, the first ones of the next episode."""

    @property
    def reward(self) -> np.ndarray:
        """`[E]` float32."""

    @property
    def last(self) -> np.ndarray:
        """`[E]` bool, whether an episode ended."""


class Games(Protocol):
    """Games that are stepped side by side, such as an `acme_psro.games.batched.GameBatch`."""

    @property
    def num_games(self) -> int:
        """`E`."""

    def reset(self) -> Any:
        """Has all games begin an episode; returns what is observed, arrays `[E, ..]`."""

    def step(self, actions: np.ndarray) -> Steps:
        """Takes an action in each game; those that end begin again."""


class BatchedActor:
    """Chooses actions for many games, adds what comes of them, and asks for newer variables now and then.

    Args:
      policy: is jitted here, and runs where key and variables lie.
      random_key: of its choices.
      variable_client: for its variables.
      adder: for what it observes; None: nobody learns from it.
    """

    def __init__(
        self,
        policy: BatchedPolicy,
        random_key: Key,
        variable_client: variable_utils.VariableClient,
        adder: BatchAdder | None = None,
    ) -> None:
        def choose(variables: Variables, key: Key, observation: Any) -> Any:
            key, use = jax.random.split(key)
            return policy(variables, use, observation), key

        self._choose = jax.jit(choose)
        self._key = random_key
        self._variable_client = variable_client
        self._adder = adder
        self._extras: Any = {}

    def select_actions(self, observation: Any) -> np.ndarray:
        """Actions `[E, ..]` where arrays `[E, ..]` are observed."""
        chosen, self._key = self._choose(self._variable_client.params, self._key, observation)
        actions, self._extras = jax.device_get(chosen)
        return actions

    def observe_first(self, observation: Any) -> None:
        """All games begin an episode with this."""
        if self._adder is not None:
            self._adder.add_first(observation)

    def observe(self, actions: np.ndarray, steps: Steps) -> None:
        """What the actions that were selected last have led to."""
        if self._adder is not None:
            self._adder.add(actions, steps.observation, steps.reward, steps.last, self._extras)

    def update(self, wait: bool = False) -> None:
        """Once for a step of all games: the period between two requests is counted in these."""
        self._variable_client.update(wait)

    def close(self) -> None:
        """Lets go of replay."""
        if self._adder is not None:
            self._adder.close()


class BatchedLoop(core.Worker):
    """Acts in many games until it is told to stop, as `acme.EnvironmentLoop` does in one.

    Counts and logs the same of every episode; those that end together are counted together.
    `steps_per_second` is the pace of all games while the episode went on.

    Args:
      games: to act in.
      actor: that acts.
      counter: is told of `episodes` and `steps`, those of episodes that have ended.
      logger: is given a row an episode.
    """

    def __init__(
        self,
        games: Games,
        actor: BatchedActor,
        counter: counting.Counter | None = None,
        logger: loggers.Logger | None = None,
    ) -> None:
        self._games = games
        self._actor = actor
        self._counter = counter or counting.Counter()
        self._logger = logger or loggers.make_default_logger("environment_loop")

    def run(self, num_episodes: int | None = None, num_steps: int | None = None) -> None:
        """Acts until so many episodes have ended, or until ended ones have so many steps; or for ever.

        Raises:
          ValueError: both are given.
        """
        if num_episodes is not None and num_steps is not None:
            raise ValueError("either num_episodes or num_steps may be given, not both.")
        with signals.runtime_terminator():
            try:
                self._run(num_episodes, num_steps)
            finally:
                self._actor.close()

    def _run(self, num_episodes: int | None, num_steps: int | None) -> None:
        observation = self._games.reset()
        self._actor.observe_first(observation)
        account = _Account(self._games.num_games)
        while not account.has_reached(num_episodes, num_steps):
            actions = self._actor.select_actions(observation)
            steps = self._games.step(actions)
            self._actor.observe(actions, steps)
            self._actor.update()
            observation = steps.observation
            if rows := account.add(steps.reward, steps.last):
                ended = sum(row["episode_length"] for row in rows)
                counts = self._counter.increment(episodes=len(rows), steps=ended)
                for row in rows:
                    self._logger.write({**row, **counts})


class _Account:
    """Lengths and returns of the episodes that go on, and how many have ended."""

    def __init__(self, num_games: int) -> None:
        self._lengths = np.zeros(num_games, np.int64)
        self._returns = np.zeros(num_games, np.float32)
        self._started = np.full(num_games, time.time())
        # Steps of all games, altogether and before each one's episode.
        self._steps = 0
        self._before = np.zeros(num_games, np.int64)
        self._episodes_ended = 0
        self._steps_ended = 0

    def has_reached(self, num_episodes: int | None, num_steps: int | None) -> bool:
        """Whether so many episodes have ended, or episodes with so many steps."""
        return (num_episodes is not None and self._episodes_ended >= num_episodes) or (
            num_steps is not None and self._steps_ended >= num_steps
        )

    def add(self, reward: np.ndarray, last: np.ndarray) -> list[dict[str, Any]]:
        """Adds a step of all games; returns a row for each episode that ended with it."""
        self._lengths += 1
        self._returns += reward
        self._steps += len(reward)
        ended = np.flatnonzero(last)
        if not len(ended):
            return []
        now = time.time()
        pace = (self._steps - self._before[ended]) / np.maximum(now - self._started[ended], 1e-9)
        values = (self._lengths[ended].tolist(), self._returns[ended], pace.tolist())
        rows = [
            dict(zip(("episode_length", "episode_return", "steps_per_second"), row, strict=True))
            for row in zip(*values, strict=True)
        ]
        self._episodes_ended += len(ended)
        self._steps_ended += int(self._lengths[ended].sum())
        self._lengths[ended] = self._returns[ended] = 0
        self._started[ended], self._before[ended] = now, self._steps
        return rows

"""Acting in many games at once, with one jitted call of the policy for all games of a process.

If games are fast, a process that asks its policy for one action at a time spends most of its time on the
overhead of a JAX call. Here one call serves all games, so that they share this overhead.

Dimensions: `E` games.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
import numpy as np
from acme import core
from acme.jax import variable_utils
from acme.utils import counting, loggers, signals

from agents.acme_layer.batch_adder import BatchAdder
from agents.core import Key, Variables
from agents.episode_statistics import EpisodeStatistics

# (variables, key, observations [E, ..]) -> actions [E, ..] in the form that environments take, and the extras
# of the actions: a mapping from names to arrays [E], which may be empty.
BatchedPolicy = Callable[[Variables, Key, Any], tuple[jax.Array, Mapping[str, jax.Array]]]


class Steps(Protocol):
    """Results of one step of all games."""

    @property
    def observation(self) -> Any:
        """Arrays `[E, ..]`. For games in which `last` is True, the first observation of the next episode."""

    @property
    def reward(self) -> np.ndarray:
        """Rewards of the step, `[E]` float32."""

    @property
    def last(self) -> np.ndarray:
        """`[E]` bool, True if the step ended an episode."""


class Games(Protocol):
    """Games that are stepped side by side, such as an `acme_psro.games.batched.GameBatch`."""

    @property
    def num_games(self) -> int:
        """Number of games, `E`."""

    def reset(self) -> Any:
        """Begins an episode in all games and returns their observations, arrays `[E, ..]`."""

    def step(self, actions: np.ndarray) -> Steps:
        """Takes one action in each game, `[E, ..]`. Games that end begin their next episode at once."""


class BatchedActor:
    """Selects actions for many games, adds their experience to replay and updates the policy's variables.

    Args:
      policy: the policy, which is jitted here. It runs on the device that holds the key and the variables.
      random_key: key from which the keys of all steps are split.
      variable_client: client that fetches the policy's variables from the learner.
      adder: adder for the experience. If None, no experience is stored.
    """

    def __init__(
        self,
        policy: BatchedPolicy,
        random_key: Key,
        variable_client: variable_utils.VariableClient,
        adder: BatchAdder | None = None,
    ) -> None:
        def choose(variables: Variables, key: Key, observation: Any) -> Any:
            # The split is inside the jitted function, so that a step needs one call and not two.
            key, use = jax.random.split(key)
            return policy(variables, use, observation), key

        self._choose = jax.jit(choose)
        self._key = random_key
        self._variable_client = variable_client
        self._adder = adder
        self._extras: Any = {}

    def select_actions(self, observation: Any) -> np.ndarray:
        """Returns actions `[E, ..]` for observations `[E, ..]`.

        The extras of the actions are kept for the next call of `observe`.
        """
        chosen, self._key = self._choose(self._variable_client.params, self._key, observation)
        actions, self._extras = jax.device_get(chosen)
        return actions

    def observe_first(self, observation: Any) -> None:
        """Records the first observations `[E, ..]` after all games have begun an episode."""
        if self._adder is not None:
            self._adder.add_first(observation)

    def observe(self, actions: np.ndarray, steps: Steps) -> None:
        """Records the results of the actions that were selected last."""
        if self._adder is not None:
            self._adder.add(actions, steps.observation, steps.reward, steps.last, self._extras)

    def update(self, wait: bool = False) -> None:
        """Updates the variables, to be called once per step of all games.

        The period between two requests for variables is counted in these calls.

        Args:
          wait: if True, returns only after a request has been answered.
        """
        self._variable_client.update(wait)

    def close(self) -> None:
        """Closes the adder."""
        if self._adder is not None:
            self._adder.close()


class BatchedLoop(core.Worker):
    """Acts in many games until it is stopped, as `acme.EnvironmentLoop` does in one game.

    Counts and logs the same values as Acme's loop. Episodes that end in the same step are counted together,
    before any of them is logged. `steps_per_second` is the number of steps of all games per second, over the
    duration of the episode.

    Args:
      games: the games to act in.
      actor: the actor that selects the actions.
      counter: counter for `episodes` and `steps`. Only steps of finished episodes are counted.
      logger: logger that receives one row per episode.
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
        """Acts until the given number of episodes or steps is reached, or until it is stopped from outside.

        Args:
          num_episodes: number of finished episodes after which to return. If None, there is no such limit.
          num_steps: number of steps in finished episodes after which to return. If None, there is no such
            limit.

        Raises:
          ValueError: both limits are given.
        """
        if num_episodes is not None and num_steps is not None:
            raise ValueError("either num_episodes or num_steps may be given, not both.")
        # Launchpad stops a node by raising an exception in its thread, which can happen at any line. The
        # adder must be closed even then: its writer would keep streams to the server open.
        with signals.runtime_terminator():
            try:
                self._run(num_episodes, num_steps)
            finally:
                self._actor.close()

    def _run(self, num_episodes: int | None, num_steps: int | None) -> None:
        observation = self._games.reset()
        self._actor.observe_first(observation)
        statistics = EpisodeStatistics(self._games.num_games)
        while not statistics.has_reached(num_episodes, num_steps):
            actions = self._actor.select_actions(observation)
            steps = self._games.step(actions)
            self._actor.observe(actions, steps)
            self._actor.update()
            observation = steps.observation
            if rows := statistics.add(steps.reward, steps.last):
                # A counter may talk to another process, so that it is incremented once for all of them.
                ended = sum(row["episode_length"] for row in rows)
                counts = self._counter.increment(episodes=len(rows), steps=ended)
                for row in rows:
                    self._logger.write({**row, **counts})

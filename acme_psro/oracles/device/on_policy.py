"""Best responses by agents that learn on policy: they play rollouts of their newest policy and keep no games.

The agents stand in other packages, which know how they play, and are passed in as `RolloutAgent`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from acme_psro.games.device_arrays import make_arrays
from acme_psro.games.graph import GameGraph
from acme_psro.games.tree import GameTree
from acme_psro.oracles.asking import Results
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.experience import observe
from acme_psro.oracles.device.lanes import Lane
from acme_psro.oracles.device.trainers import Attempt, Question, make_training_against, train_against
from acme_psro.oracles.device.training import MakeAgent, Train, Trained, make_train


class RolloutAgent(NamedTuple):
    """An agent that learns from whole rollouts of its newest policy, in place of an `AgentCore`.

    Attributes:
      make_train: (compiled game, budget) -> its training, see `acme_psro.oracles.device.training.make_train`.
        Raises ValueError if the budget does not fit the agent.
    """

    make_train: Callable[[GameTree | GameGraph, DeviceConfig], Train]


def make_agent_train(
    compiled: GameTree | GameGraph, agent: MakeAgent | RolloutAgent, config: DeviceConfig
) -> Train:
    """Returns the training of an agent that plays while it learns, of either kind.

    Raises:
      ValueError: the budget does not fit the agent.
    """
    if isinstance(agent, RolloutAgent):
        return agent.make_train(compiled, config)
    game = make_arrays(compiled)
    example = observe(game, jnp.zeros(1, jnp.int32), jnp.zeros((1, 0)))
    return make_train(compiled, game, agent(example, compiled.num_actions, config.updates), config)


class RolloutTrainer:
    """A trainer whose agents learn on policy, see `acme_psro.oracles.device.trainers.Trainer`.

    Args:
      tree: the compiled game.
      agent: the agent.
      config: the budget of a response.

    Raises:
      ValueError: the budget does not fit the agent.
    """

    def __init__(self, tree: GameTree, agent: RolloutAgent, config: DeviceConfig) -> None:
        if config.diversity:
            raise ValueError("diversity needs an agent that learns from its replay buffer: set it to 0.")
        self._tree = tree
        self._train = make_training_against(agent.make_train(tree, config), config)

    def train_lane(self, lane: Lane) -> Trained:
        """Returns a training without the agent's state, which is large and not used any more."""
        tables, _, _ = lane.material
        trained = self._train(jax.random.wrap_key_data(lane.key), lane.player, tables, None)
        return trained._replace(state=None)

    def __call__(
        self, key: jax.Array, lanes: Sequence[Question], doublings: int
    ) -> Generator[Lane, Results, list[Attempt]]:
        """Returns a generator of the lanes' trainings."""
        # A rollout's games side by side are a shape of the compiled program.
        del doublings
        return train_against(self._tree, key, lanes)

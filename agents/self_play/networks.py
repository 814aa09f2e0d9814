"""Network of the self-play agent: a policy and a value, for all players.

The player who acts is part of its observation, as a context, so that one network plays all sides.

Dimensions: `U` observations, `A` actions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from agents.core import Bounds, Observation
from agents.networks import flatten, masked_log_probs
from agents.self_play.config import SelfPlayConfig

_FUNCTIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}
# Gains of orthogonal layers, the usual ones of PPO: a first policy that is almost uniform.
_HIDDEN, _POLICY, _VALUE = np.sqrt(2), 0.01, 1.0


class Output(NamedTuple):
    """Output of the network.

    Attributes:
      log_probs: `[U, A]` float32, log probabilities over legal actions; illegal ones have a very low number.
      value: `[U]` float32, the expected return of the player who acts.
    """

    log_probs: jax.Array
    value: jax.Array


class SelfPlayNetworks(NamedTuple):
    """The network's functions.

    Attributes:
      init: key -> params.
      apply: (params, observations `[U, ..]`) -> Output.
    """

    init: Callable[[jax.Array], Any]
    apply: Callable[[Any, Observation], Output]


def make_networks(example: Observation, actions: int | Bounds, config: SelfPlayConfig) -> SelfPlayNetworks:
    """Makes the network for observations like `example`.

    Args:
      example: an observation with a leading axis of 1. Its context says who acts, for example as a one-hot
        vector.
      actions: number of discrete actions, `A`.
      config: the agent's configuration.

    Raises:
      ValueError: actions are continuous.
    """
    if isinstance(actions, Bounds):
        raise ValueError("the self-play agent has discrete actions only: choose another agent.")

    def torso(inputs: jax.Array, name: str) -> jax.Array:
        hidden = inputs
        for index, size in enumerate(config.hidden_sizes):
            layer = hk.Linear(size, w_init=hk.initializers.Orthogonal(_HIDDEN), name=f"{name}_{index}")
            hidden = _FUNCTIONS[config.activation](layer(hidden))
        return hidden

    def network(observation: Observation) -> Output:
        chex.assert_rank([observation.info_state, observation.legal_actions], 2)
        inputs = flatten(observation)
        of_policy = torso(inputs, "torso" if config.shared_torso else "policy")
        of_value = of_policy if config.shared_torso else torso(inputs, "value")
        policy_head = hk.Linear(actions, w_init=hk.initializers.Orthogonal(_POLICY), name="policy_head")
        value_head = hk.Linear(1, w_init=hk.initializers.Orthogonal(_VALUE), name="value_head")
        log_probs = masked_log_probs(policy_head(of_policy), observation.legal_actions)
        return Output(log_probs, value_head(of_value)[:, 0])

    transformed: Any = hk.without_apply_rng(hk.transform(network))
    return SelfPlayNetworks(lambda key: transformed.init(key, example), transformed.apply)

"""Training state of the self-play agent, its schedules and its magnet."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import random_keys
from agents.core import Key
from agents.self_play.config import SelfPlayConfig
from agents.self_play.losses import Coefficients
from agents.self_play.networks import SelfPlayNetworks


class SelfPlayState(NamedTuple):
    """Training state.

    Attributes:
      params: parameters of the network.
      optimiser: the optimiser's state.
      average: moving average of the parameters, from which the magnet is renewed; None unless needed.
      magnet: the magnet's parameters; None if there is no magnet.
      updates: `[]` int32, number of updates so far.
      decisions: `[]` int32, number of decisions in them.
      key: `[2]` uint32, raw random key.
    """

    params: Any
    optimiser: optax.OptState
    average: Any
    magnet: Any
    updates: jax.Array
    decisions: jax.Array
    key: jax.Array


class Parts(NamedTuple):
    """Parts of an agent that do not change: its networks, configuration and optimiser."""

    networks: SelfPlayNetworks
    config: SelfPlayConfig
    optimiser: optax.GradientTransformation


def make_parts(networks: SelfPlayNetworks, config: SelfPlayConfig) -> Parts:
    """Returns the parts of an agent."""
    clipped = optax.clip_by_global_norm(config.max_gradient_norm)
    return Parts(networks, config, optax.chain(clipped, optax.scale_by_adam(eps=config.adam_epsilon)))


def init(parts: Parts, key: Key) -> SelfPlayState:
    """Returns the state before learning."""
    config = parts.config
    init_key, next_key = jax.random.split(key)
    params = parts.networks.init(init_key)
    return SelfPlayState(
        params=params,
        optimiser=parts.optimiser.init(params),
        average=params if config.has_magnet and config.magnet_average > 0 else None,
        magnet=params if config.has_magnet else None,
        updates=jnp.int32(0),
        decisions=jnp.int32(0),
        key=random_keys.to_raw(next_key),
    )


class Schedule(NamedTuple):
    """Numbers that depend on the decisions so far: `learning_rate` `[]`, and the weights of the loss."""

    learning_rate: jax.Array
    by: Coefficients


def schedule(config: SelfPlayConfig, decisions: jax.Array) -> Schedule:
    """Returns the learning rate and the weights of the loss after a number of decisions `[]`."""
    progress = jnp.minimum(decisions / config.horizon, 1.0)
    change = config.final_learning_rate - config.learning_rate
    # Sokota et al. 2022, appendix J: alpha and eta = 1 / kl fall as 1 / sqrt(t).
    factor = jnp.sqrt(config.horizon / decisions) if config.annealing == "sqrt" else jnp.float32(1)
    by = Coefficients(config.clip, config.value, config.entropy * factor, config.kl / factor, config.magnet)
    return Schedule(config.learning_rate + progress * change, by)


def renew_magnet(config: SelfPlayConfig, state: SelfPlayState) -> SelfPlayState:
    """Returns the state after an update, with a new magnet every `magnet_period` updates."""
    if not config.has_magnet:
        return state
    source = state.params
    if config.magnet_average > 0:
        source = optax.incremental_update(state.params, state.average, config.magnet_average)
        state = state._replace(average=source)
    due = state.updates % config.magnet_period == 0
    magnet = jax.tree.map(lambda new, old: jnp.where(due, new, old), source, state.magnet)
    return state._replace(magnet=magnet)

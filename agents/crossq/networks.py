"""Networks of CrossQ: multilayer perceptrons with batch renormalisation.

Dimensions: `B` batch, `D` inputs, `A` actions, `E` critics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from agents.core import Observation
from agents.crossq.config import CrossQConfig


class BatchRenorm(hk.Module):
    """Batch renormalisation (Ioffe 2017, algorithm 1) with weighted rows.

    In training, activations are normalised by the batch's statistics, then corrected by r and d towards
    what the running statistics would give; neither correction has a gradient. Where both are within their
    bounds, training and evaluation give the same output. During warm-up r = 1 and d = 0: plain batch norm.
    """

    def __init__(self, config: CrossQConfig, name: str | None = None) -> None:
        super().__init__(name=name)
        self._config = config

    def __call__(self, inputs: jax.Array, weight: jax.Array, is_training: bool) -> jax.Array:
        """Normalises `[B, D]`; rows of weight 0 (`[B]`) leave the statistics untouched."""
        config, size = self._config, inputs.shape[-1:]
        running_mean = hk.get_state("mean", size, init=jnp.zeros)
        running_variance = hk.get_state("variance", size, init=jnp.ones)
        count = hk.get_state("count", (), jnp.int32, init=jnp.zeros)
        scale = hk.get_parameter("scale", size, init=jnp.ones)
        offset = hk.get_parameter("offset", size, init=jnp.zeros)
        running_deviation = jnp.sqrt(running_variance + config.renorm_epsilon)
        if not is_training:
            return (inputs - running_mean) / running_deviation * scale + offset
        share = shares(weight)[:, None]
        mean = jnp.sum(share * inputs, axis=0)
        variance = jnp.sum(share * jnp.square(inputs - mean), axis=0)
        deviation = jnp.sqrt(variance + config.renorm_epsilon)
        warm = count >= config.renorm_warmup
        r = jnp.clip(deviation / running_deviation, 1 / config.renorm_r_max, config.renorm_r_max)
        d = (mean - running_mean) / running_deviation
        d = jnp.clip(d, -config.renorm_d_max, config.renorm_d_max)
        r = jax.lax.stop_gradient(jnp.where(warm, r, 1.0))
        d = jax.lax.stop_gradient(jnp.where(warm, d, 0.0))
        momentum = config.renorm_momentum
        hk.set_state("mean", momentum * running_mean + (1 - momentum) * mean)
        hk.set_state("variance", momentum * running_variance + (1 - momentum) * variance)
        hk.set_state("count", count + 1)
        return ((inputs - mean) / deviation * r + d) * scale + offset


def shares(weight: jax.Array) -> jax.Array:
    """`[B]`: each row's share of the whole weight; all zero where there is none."""
    total = weight.sum()
    return weight / jnp.where(total > 0, total, 1.0)


def _mlp(
    observation: Observation,
    weight: jax.Array,
    is_training: bool,
    hidden_sizes: Sequence[int],
    num_outputs: int,
    config: CrossQConfig,
) -> jax.Array:
    # Information states are one-hot or nearly constant: normalising them would blow up what is rare, so
    # normalisation begins behind the first layer.
    hidden = jnp.concatenate([observation.info_state, observation.context], axis=-1)
    for size in hidden_sizes:
        hidden = jax.nn.relu(hk.Linear(size)(hidden))
        hidden = BatchRenorm(config)(hidden, weight, is_training)
    return hk.Linear(num_outputs)(hidden)


class Network(NamedTuple):
    """A network whose observations are known.

    Attributes:
      init: key -> (params, stats).
      apply: (params, stats, observation, weight `[B]`, is_training) -> (`[B, A]`, stats).
    """

    init: Callable[[jax.Array], tuple[Any, Any]]
    apply: Callable[[Any, Any, Observation, jax.Array, bool], tuple[jax.Array, Any]]


class CrossQNetworks(NamedTuple):
    """CrossQ's networks.

    Attributes:
      policy: to logits, not masked.
      critic: one critic, to action values.
    """

    policy: Network
    critic: Network


def make_networks(example: Observation, num_actions: int, config: CrossQConfig) -> CrossQNetworks:
    """Networks for observations like `example` (`[1, ..]`) and `num_actions` actions."""

    def build(sizes: tuple[int, ...]) -> Network:
        def network(observation: Observation, weight: jax.Array, is_training: bool) -> jax.Array:
            return _mlp(observation, weight, is_training, sizes, num_actions, config)

        transformed: Any = hk.without_apply_rng(hk.transform_with_state(network))
        return Network(lambda key: transformed.init(key, example, jnp.ones(1), False), transformed.apply)

    return CrossQNetworks(build(config.policy_hidden_sizes), build(config.critic_hidden_sizes))


def masked_log_probs(logits: jax.Array, legal_actions: jax.Array) -> jax.Array:
    """`[B, A]` log probabilities over legal actions; finite, and far below zero on illegal ones.

    Where nothing is legal, as at the end of a game, everything counts as legal, so that nothing is NaN.
    """
    possible = legal_actions | ~legal_actions.any(axis=-1, keepdims=True)
    return jax.nn.log_softmax(jnp.where(possible, logits, -1e9), axis=-1)


def apply_critics(
    critic: Network,
    params: Any,
    stats: Any,
    observation: Observation,
    weight: jax.Array,
    is_training: bool,
) -> tuple[jax.Array, Any]:
    """Action values `[E, B, A]` and new statistics of critics stacked along a leading axis."""

    def apply_one(params: Any, stats: Any) -> tuple[jax.Array, Any]:
        return critic.apply(params, stats, observation, weight, is_training)

    return jax.vmap(apply_one)(params, stats)

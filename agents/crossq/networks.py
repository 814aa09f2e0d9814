"""Networks of CrossQ: multilayer perceptrons with batch renormalisation.

Dimensions: `B` batch, `D` inputs, `A` actions (discrete) or numbers in an action (continuous), `E` critics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from agents.core import Bounds
from agents.crossq.config import CrossQConfig
from agents.networks import check_bounds, flatten, shares


class BatchRenorm(hk.Module):
    """Batch renormalisation (Ioffe 2017, algorithm 1) with weighted rows.

    In training, activations are normalised by the batch's statistics, then corrected by r and d towards
    what the running statistics would give; neither correction has a gradient. Where both are within their
    bounds, training and evaluation give the same output. During warm-up, and for good where the
    configuration asks for batch norm, r = 1 and d = 0.
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
            slope = scale / running_deviation
            return inputs * slope + (offset - running_mean * slope)
        mean, variance = _moments(inputs, shares(weight))
        deviation = jnp.sqrt(variance + config.renorm_epsilon)
        r, d = self._corrections(mean, deviation, running_mean, running_deviation, count)
        momentum = config.renorm_momentum
        hk.set_state("mean", momentum * running_mean + (1 - momentum) * mean)
        hk.set_state("variance", momentum * running_variance + (1 - momentum) * variance)
        hk.set_state("count", count + 1)
        # One multiplication and one addition for each activation; the rest is done for each feature.
        slope = scale * r / deviation
        return inputs * slope + (offset + scale * d - mean * slope)

    def _corrections(
        self,
        mean: jax.Array,
        deviation: jax.Array,
        running_mean: jax.Array,
        running_deviation: jax.Array,
        count: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        """Ioffe's r and d, each `[D]`."""
        config = self._config
        if config.normalisation == "batch_norm":
            return jnp.ones_like(mean), jnp.zeros_like(mean)
        warm = count >= config.renorm_warmup
        r = jnp.clip(deviation / running_deviation, 1 / config.renorm_r_max, config.renorm_r_max)
        d = (mean - running_mean) / running_deviation
        d = jnp.clip(d, -config.renorm_d_max, config.renorm_d_max)
        return jax.lax.stop_gradient((jnp.where(warm, r, 1.0), jnp.where(warm, d, 0.0)))


def _moments(inputs: jax.Array, share: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Weighted mean and variance `[D]` of `[B, D]` in one pass.

    The difference of two moments loses digits where the mean is large; about a row of the batch itself,
    which is hardly further from the mean than the others, it does not.
    """
    centre = jax.lax.stop_gradient(inputs[0])
    centred = inputs - centre
    # Sums, not products with a vector: those are several times slower on a CPU.
    first = jnp.sum(share[:, None] * centred, axis=0)
    second = jnp.sum(share[:, None] * jnp.square(centred), axis=0)
    return centre + first, jnp.maximum(second - jnp.square(first), 0.0)


def _mlp(
    inputs: jax.Array,
    weight: jax.Array,
    is_training: bool,
    hidden_sizes: Sequence[int],
    num_outputs: int,
    config: CrossQConfig,
) -> jax.Array:
    hidden = inputs
    if config.normalise_inputs:
        hidden = BatchRenorm(config, "batch_renorm_inputs")(hidden, weight, is_training)
    for size in hidden_sizes:
        hidden = jax.nn.relu(hk.Linear(size)(hidden))
        hidden = BatchRenorm(config)(hidden, weight, is_training)
    return hk.Linear(num_outputs)(hidden)


class Network(NamedTuple):
    """A network whose inputs are known.

    Attributes:
      init: key -> (params, stats).
      apply: (params, stats, inputs, weight `[B]`, is_training) -> (`[B, outputs]`, stats).
    """

    init: Callable[[jax.Array], tuple[Any, Any]]
    apply: Callable[[Any, Any, Any, jax.Array, bool], tuple[jax.Array, Any]]


class CrossQNetworks(NamedTuple):
    """CrossQ's networks.

    Attributes:
      policy: of observations; to logits, not masked, or to means and log deviations side by side.
      critic: one critic. Of observations to action values `[B, A]`, or of observations with actions in
        [-1, 1] to `[B, 1]`.
      bounds: of continuous actions; None where actions are discrete.
    """

    policy: Network
    critic: Network
    bounds: Bounds | None = None


def make_networks(example: Any, actions: int | Bounds, config: CrossQConfig) -> CrossQNetworks:
    """Networks for observations like `example`, with an axis of 1 in front.

    Args:
      example: an `Observation` or any tree of arrays.
      actions: how many there are, or the bounds of continuous ones.

    Raises:
      ValueError: bounds that are not finite, or in the wrong order.
    """

    def build(inputs: Any, sizes: tuple[int, ...], num_outputs: int) -> Network:
        def network(inputs: Any, weight: jax.Array, is_training: bool) -> jax.Array:
            return _mlp(flatten(inputs), weight, is_training, sizes, num_outputs, config)

        transformed: Any = hk.without_apply_rng(hk.transform_with_state(network))
        return Network(lambda key: transformed.init(key, inputs, jnp.ones(1), False), transformed.apply)

    if not isinstance(actions, Bounds):
        policy = build(example, config.policy_hidden_sizes, actions)
        return CrossQNetworks(policy, build(example, config.critic_hidden_sizes, actions))
    bounds = check_bounds(actions)
    num = len(bounds.low)
    policy = build(example, config.policy_hidden_sizes, 2 * num)
    critic = build((example, jnp.zeros((1, num))), config.critic_hidden_sizes, 1)
    return CrossQNetworks(policy, critic, bounds)


def apply_critics(
    critic: Network, params: Any, stats: Any, inputs: Any, weight: jax.Array, is_training: bool
) -> tuple[jax.Array, Any]:
    """Outputs `[E, B, ..]` and new statistics of critics stacked along a leading axis."""

    def apply_one(params: Any, stats: Any) -> tuple[jax.Array, Any]:
        return critic.apply(params, stats, inputs, weight, is_training)

    return jax.vmap(apply_one)(params, stats)

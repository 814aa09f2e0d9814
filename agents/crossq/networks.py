"""Networks of CrossQ: multilayer perceptrons with batch renormalisation.

Dimensions: `B` batch, `D` inputs, `A` actions (discrete) or numbers in an action (continuous), `E` critics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import haiku as hk
import jax
import jax.numpy as jnp

from agents.core import Bounds
from agents.crossq.config import CrossQConfig
from agents.networks import check_bounds, flatten, shares


class BatchRenorm(hk.Module):
    """Batch renormalisation (Ioffe 2017, algorithm 1) with weighted rows.

    In training, activations are normalised by the batch's statistics and then corrected, by the factor r and
    the shift d, towards the output that the running statistics would give. Neither correction has a
    gradient. While both are within their bounds, training and evaluation give the same output. r = 1 and
    d = 0 during warm-up, and always if the configuration asks for batch normalisation.
    """

    def __init__(self, config: CrossQConfig, name: str | None = None) -> None:
        super().__init__(name=name)
        self._config = config

    def __call__(self, inputs: jax.Array, weight: jax.Array, is_training: bool) -> jax.Array:
        """Normalises activations.

        Args:
          inputs: `[B, D]`.
          weight: `[B]`, how much each row counts in the statistics. Rows of weight 0 are normalised but do
            not count.
          is_training: True to normalise by the batch's statistics and to update the running ones; False to
            normalise by the running statistics and to ignore the weights.

        Returns:
          Normalised activations `[B, D]`.
        """
        chex.assert_rank([inputs, weight], [2, 1])
        chex.assert_equal_shape_prefix([inputs, weight], 1)
        config, size = self._config, inputs.shape[-1:]
        running_mean = hk.get_state("mean", size, init=jnp.zeros)
        running_variance = hk.get_state("variance", size, init=jnp.ones)
        count = hk.get_state("count", (), jnp.int32, init=jnp.zeros)
        scale = hk.get_parameter("scale", size, init=jnp.ones)
        offset = hk.get_parameter("offset", size, init=jnp.zeros)
        running_deviation = jnp.sqrt(running_variance + config.renorm_epsilon)
        # The epsilon is added to both variances, because r and d compare the two deviations.
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
        # Factored so that only one multiplication and one addition touch each activation. Everything else is
        # done once for each feature.
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
        """Returns Ioffe's corrections r and d, each `[D]`, without gradient."""
        config = self._config
        if config.normalisation == "batch_norm":
            return jnp.ones_like(mean), jnp.zeros_like(mean)
        warm = count >= config.renorm_warmup
        r = jnp.clip(deviation / running_deviation, 1 / config.renorm_r_max, config.renorm_r_max)
        d = (mean - running_mean) / running_deviation
        d = jnp.clip(d, -config.renorm_d_max, config.renorm_d_max)
        return jax.lax.stop_gradient((jnp.where(warm, r, 1.0), jnp.where(warm, d, 0.0)))


def _moments(inputs: jax.Array, share: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes weighted means and variances in one pass.

    Args:
      inputs: `[B, D]`.
      share: `[B]`, weights of the rows. They sum to 1, or to 0 if no row counts.

    Returns:
      Mean and biased variance, each `[D]`.
    """
    # E[x^2] - E[x]^2 loses digits if the mean is large compared with the deviation. Moments about a row of
    # the batch do not, because such a row is about as near to the mean as any other.
    centre = jax.lax.stop_gradient(inputs[0])
    centred = inputs - centre
    # Products of a vector and a matrix would be several times slower on a CPU than these sums.
    first = jnp.sum(share[:, None] * centred, axis=0)
    second = jnp.sum(share[:, None] * jnp.square(centred), axis=0)
    # Rounding may make the difference slightly negative, and its square root NaN.
    return centre + first, jnp.maximum(second - jnp.square(first), 0.0)


def _mlp(
    inputs: jax.Array,
    weight: jax.Array,
    is_training: bool,
    hidden_sizes: Sequence[int],
    num_outputs: int,
    config: CrossQConfig,
) -> jax.Array:
    """Applies a multilayer perceptron, with a normalisation after every hidden layer, to `[B, D]`.

    The normalisation follows the ReLU, as in the authors' code.
    """
    hidden = inputs
    if config.normalise_inputs:
        hidden = BatchRenorm(config, "batch_renorm_inputs")(hidden, weight, is_training)
    for size in hidden_sizes:
        hidden = jax.nn.relu(hk.Linear(size)(hidden))
        hidden = BatchRenorm(config)(hidden, weight, is_training)
    return hk.Linear(num_outputs)(hidden)


class Network(NamedTuple):
    """Initialisation and application of a network, for inputs of a fixed shape.

    Attributes:
      init: key -> (params, stats).
      apply: (params, stats, inputs, weight `[B]`, is_training) -> (`[B, outputs]`, stats).
    """

    init: Callable[[jax.Array], tuple[Any, Any]]
    apply: Callable[[Any, Any, Any, jax.Array, bool], tuple[jax.Array, Any]]


class CrossQNetworks(NamedTuple):
    """Networks of CrossQ.

    Attributes:
      policy: observations -> unmasked logits `[B, A]`; or means and then log standard deviations `[B, 2 A]`
        if actions are continuous.
      critic: one critic: observations -> action values `[B, A]`; or (observations, actions in [-1, 1]) ->
        `[B, 1]` if actions are continuous.
      bounds: bounds of continuous actions; None if actions are discrete.
    """

    policy: Network
    critic: Network
    bounds: Bounds | None = None


def make_networks(example: Any, actions: int | Bounds, config: CrossQConfig) -> CrossQNetworks:
    """Makes networks for observations like the example.

    Args:
      example: one observation with a leading axis of length 1: an `Observation` or any tree of arrays.
      actions: number of discrete actions, or bounds of continuous ones.
      config: widths and normalisation.

    Raises:
      ValueError: the bounds are not finite or in the wrong order.
    """

    def build(inputs: Any, sizes: tuple[int, ...], num_outputs: int) -> Network:
        def network(inputs: Any, weight: jax.Array, is_training: bool) -> jax.Array:
            return _mlp(flatten(inputs), weight, is_training, sizes, num_outputs, config)

        # The signature of a transformed function is not known to the type checker.
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
    """Applies all critics to the same inputs.

    Args:
      critic: one critic.
      params: parameters of all critics, stacked along a leading axis `[E]`.
      stats: running statistics of all critics, stacked likewise.
      inputs: inputs of a critic, with a leading axis `[B]`.
      weight: `[B]`, how much each row counts in the statistics.
      is_training: whether batch statistics normalise.

    Returns:
      Outputs `[E, B, ..]`, and the new statistics of all critics.
    """

    def apply_one(params: Any, stats: Any) -> tuple[jax.Array, Any]:
        return critic.apply(params, stats, inputs, weight, is_training)

    return jax.vmap(apply_one)(params, stats)

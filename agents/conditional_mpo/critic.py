"""Critic of MPO and of V-MPO: its targets, its loss and the values that its outputs stand for.

Dimensions: `B` decisions, `Z` atoms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from agents.conditional_mpo.base import Model
from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.core import Transition
from agents.networks import shares


def scalar_target(
    model: Model,
    batch: Transition,
    q_taken: jax.Array,
    next_value: jax.Array,
    log_prob_taken: Callable[[], jax.Array] | None = None,
) -> jax.Array:
    """Computes targets `[B]` of a critic whose output is a value.

    A target is the reward of one step (or of the n steps that replay sums up) and a discounted next value, or
    Retrace's return over several steps.

    Args:
      model: the agent's networks and configuration.
      batch: the decisions.
      q_taken: `[B]`, values of the actions taken.
      next_value: `[B]`, values at the next observations; any number, even NaN, if the episode ended.
      log_prob_taken: function that returns `[B]`, log probabilities of the actions taken under the target
        policy. Only Retrace calls it.

    Raises:
      ValueError: Retrace is on, but the batch has no sequences or no probabilities of its actions.
    """
    chex.assert_rank([batch.reward, batch.discount, q_taken, next_value], 1)
    chex.assert_equal_shape([batch.reward, batch.discount, q_taken, next_value])
    config = model.config
    discounts = config.discount * batch.discount
    reward = config.reward_scale * batch.reward
    # Not a product: 0 times a NaN would still be NaN.
    following = jnp.where(discounts > 0, next_value, 0.0)
    if not config.retrace:
        return reward + discounts * following
    if log_prob_taken is None or batch.log_prob is None or batch.continues is None:
        raise ValueError(
            "Retrace needs sequences with the probabilities of their actions: give the replay a "
            "sequence_length above 1, or set retrace=False."
        )
    ratio = log_prob_taken() - batch.log_prob
    return retrace(q_taken, following, reward, discounts, ratio, batch.continues, config.retrace_lambda)


def categorical_target(config: ConditionalMPOConfig, batch: Transition, following: jax.Array) -> jax.Array:
    """Computes targets `[B, Z]` of a categorical critic.

    Args:
      config: the agent's configuration.
      batch: the decisions.
      following: `[B, Z]`, distributions of returns at the next observations.
    """
    discount, reward = config.discount * batch.discount, config.reward_scale * batch.reward
    return project(following, atoms(config), reward, discount)


def critic_loss(
    params: Any, model: Model, critic: Callable[..., jax.Array], target: jax.Array, batch: Transition
) -> tuple[jax.Array, jax.Array]:
    """Computes half the mean squared error, or the cross entropy if the critic is categorical.

    Args:
      params: the critic's parameters.
      model: the agent's networks and configuration.
      critic: (model, params, batch) -> `[B, Z]`, outputs for the actions taken.
      target: `[B]`, or `[B, Z]` probabilities; no gradient reaches it.
      batch: the decisions.

    Returns:
      (loss `[]`, mean value `[]` of the actions taken).
    """
    output = critic(model, params, batch)
    chex.assert_rank([output, target], [2, {1, 2}])
    chex.assert_equal_shape_prefix([output, target, batch.weight], 1)
    share = shares(batch.weight)
    q = critic_values(model.config, output)
    target = jax.lax.stop_gradient(target)
    if target.ndim == 2:
        loss = jnp.sum(share * optax.softmax_cross_entropy(output, target))
    else:
        loss = 0.5 * jnp.sum(share * jnp.square(q - target))
    return loss, jnp.sum(share * q)


def critic_values(config: ConditionalMPOConfig, output: jax.Array) -> jax.Array:
    """Returns the values `[..]` that a critic's outputs `[.., Z]` stand for."""
    if config.num_atoms == 1:
        return output[..., 0]
    return expectation(output, atoms(config))


def retrace(
    q_taken: jax.Array,
    next_value: jax.Array,
    reward: jax.Array,
    discount: jax.Array,
    log_ratio: jax.Array,
    continues: jax.Array,
    lam: float,
) -> jax.Array:
    """Computes Retrace's targets `[B]` (Munos et al. 2016, equation 4).

    Args:
      q_taken: `[B]`, values of the actions taken.
      next_value: `[B]`, expected values at the next observations.
      reward: `[B]`.
      discount: `[B]`, the agent's discount included.
      log_ratio: `[B]`, log probability of the action under the policy less that under the behaviour policy.
      continues: `[B]` bool, whether row b + 1 is the decision that followed row b.
      lam: decay of the traces.
    """
    chex.assert_rank(reward, 1)
    chex.assert_equal_shape([q_taken, next_value, reward, discount, log_ratio, continues])
    # The ratio is cut before the exponential, which could overflow otherwise.
    trace = lam * jnp.minimum(1.0, jnp.exp(jnp.minimum(log_ratio, 0.0)))
    # The last row has no successor in the batch. What `jnp.roll` brings round from the first row is masked.
    following = jnp.concatenate([continues[:-1], jnp.zeros(1, bool)])
    decay = jnp.where(following, discount * jnp.roll(trace, -1), 0.0)
    # G_b = r_b + discount_b * V_b + decay_b * (G_{b+1} - Q_{b+1}) is a linear recurrence from the last row to
    # the first, so an associative scan solves it in a logarithmic number of steps.
    start = reward + discount * next_value - decay * jnp.where(following, jnp.roll(q_taken, -1), 0.0)

    def join(later: tuple, earlier: tuple) -> tuple:
        """Composes two affine maps `G -> start + decay * G`, each given as (decay, start)."""
        return earlier[0] * later[0], earlier[1] + earlier[0] * later[1]

    _, target = jax.lax.associative_scan(join, (decay, start), reverse=True)
    return target


def atoms(config: ConditionalMPOConfig) -> jax.Array:
    """Returns the atoms `[Z]`: the returns that a categorical critic has probabilities for."""
    return jnp.linspace(config.value_min, config.value_max, config.num_atoms)


def expectation(logits: jax.Array, atoms: jax.Array) -> jax.Array:
    """Returns the expected returns `[..]` of distributions with logits `[.., Z]`."""
    return jnp.sum(jax.nn.softmax(logits) * atoms, axis=-1)


def project(probs: jax.Array, atoms: jax.Array, reward: jax.Array, discount: jax.Array) -> jax.Array:
    """Projects the distribution of `reward + discount * return` back to the atoms (Bellemare et al. 2017).

    The probability of each shifted atom is split between its two neighbours, so that the mean is kept. The
    probability of a shifted atom beyond the range goes to the last atom on that side.

    Args:
      probs: `[B, Z]`, probabilities of the atoms as returns.
      atoms: `[Z]`, evenly spaced and rising.
      reward: `[B]`.
      discount: `[B]`.

    Returns:
      `[B, Z]` probabilities.
    """
    chex.assert_rank([probs, atoms, reward, discount], [2, 1, 1, 1])
    chex.assert_equal_shape_suffix([probs, atoms], 1)
    shifted = jnp.clip(reward[:, None] + discount[:, None] * atoms, atoms[0], atoms[-1])
    # Weights fall linearly with distance: 1 on an atom, 0 one gap away. So both neighbours' weights sum to 1.
    gap = atoms[1] - atoms[0]
    nearness = jnp.clip(1.0 - jnp.abs(shifted[:, :, None] - atoms) / gap, 0.0, 1.0)
    return jnp.einsum("bz,bzy->by", probs, nearness)

"""Losses of CrossQ with discrete actions, expectations over legal actions taken exactly.

Dimensions: `B` decisions, `U` observations, `A` actions, `E` critics.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.core import Transition
from agents.crossq.config import CrossQConfig
from agents.crossq.networks import CrossQNetworks, apply_critics, masked_log_probs, shares


class CriticExtra(NamedTuple):
    """Beside the critic's loss.

    Attributes:
      stats: the critics' new statistics.
      q: `[]`, mean value of the actions taken.
    """

    stats: Any
    q: jax.Array


class PolicyExtra(NamedTuple):
    """Beside the policy's loss.

    Attributes:
      stats: the policy's new statistics.
      entropy: `[]`, mean entropy of the policy, in nats.
    """

    stats: Any
    entropy: jax.Array


def reduce_critics(q: jax.Array, config: CrossQConfig) -> jax.Array:
    """`[E, U, A]` to `[U, A]`."""
    return q.min(axis=0) if config.q_reduction == "min" else q.mean(axis=0)


def critic_loss(
    params: Any,
    stats: Any,
    log_probs: jax.Array,
    temperature: jax.Array,
    transition: Transition,
    networks: CrossQNetworks,
    config: CrossQConfig,
) -> tuple[jax.Array, CriticExtra]:
    """Squared temporal difference of the joint pass (Bhatt et al. 2024, section 3.1), summed over critics.

    States and next states go through the critic as one batch in training mode, so that one set of batch
    statistics normalises both; with two passes each would be normalised by its own. That is what lets the
    target network go.

    Args:
      log_probs: `[U, A]` of the policy in evaluation mode.
    """
    batch = transition
    # What stands behind the end of an episode is padding and would drag the statistics along.
    goes_on = batch.weight * (batch.discount > 0)
    joint_weight = row_weights(batch, batch.now, batch.weight) + row_weights(batch, batch.then, goes_on)
    q, stats = apply_critics(networks.critic, params, stats, batch.observation, joint_weight, True)
    value = reduce_critics(q, config)
    if config.critic_entropy:
        value -= temperature * log_probs
    value = jnp.sum(jnp.exp(log_probs) * value, axis=-1)
    discount = config.discount * batch.discount
    target = batch.reward + jnp.where(discount > 0, discount * value[batch.then], 0.0)
    taken = q[:, batch.now, batch.action]
    error = taken - jax.lax.stop_gradient(target)
    share = shares(batch.weight)
    loss = 0.5 * jnp.sum(share * jnp.square(error))
    return loss, CriticExtra(stats, jnp.sum(share * taken.mean(axis=0)))


def policy_loss(
    params: Any,
    stats: Any,
    q: jax.Array,
    temperature: jax.Array,
    transition: Transition,
    networks: CrossQNetworks,
) -> tuple[jax.Array, PolicyExtra]:
    """Expected `temperature * log pi - Q` over legal actions (Christodoulou 2019, equation 12).

    The expectation is over the observations at decisions, each as often as it was decided at.

    Args:
      q: `[U, A]` of the critics in evaluation mode; no gradient flows into it.
    """
    observation = transition.observation
    weight = row_weights(transition, transition.now, transition.weight)
    logits, stats = networks.policy.apply(params, stats, observation, weight, True)
    log_probs = masked_log_probs(logits, observation.legal_actions)
    probs = jnp.exp(log_probs)
    share = shares(weight)
    entropy = -jnp.sum(share * jnp.sum(probs * log_probs, axis=-1))
    value = jnp.sum(share * jnp.sum(probs * jax.lax.stop_gradient(q), axis=-1))
    return -temperature * entropy - value, PolicyExtra(stats, entropy)


def row_weights(transition: Transition, rows: jax.Array, weight: jax.Array) -> jax.Array:
    """`[U]`: how much weight the decisions `[B]` lay on each row of the observations."""
    num_rows = transition.observation.info_state.shape[0]
    return jnp.zeros(num_rows, weight.dtype).at[rows].add(weight)

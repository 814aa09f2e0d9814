"""Losses of CrossQ with discrete actions, expectations over legal actions taken exactly.

Dimensions: `B` batch, `A` actions, `E` critics.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.core import Observation, Transition
from agents.crossq.config import CrossQConfig
from agents.crossq.networks import CrossQNetworks, apply_critics, masked_log_probs


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
    """`[E, B, A]` to `[B, A]`."""
    return q.min(axis=0) if config.q_reduction == "min" else q.mean(axis=0)


def critic_loss(
    params: Any,
    stats: Any,
    next_log_probs: jax.Array,
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
      next_log_probs: `[B, A]` of the policy in evaluation mode at the next states.
    """
    joint: Observation = jax.tree.map(
        lambda now, then: jnp.concatenate([now, then]),
        transition.observation,
        transition.next_observation,
    )
    # A next state behind the end of an episode is padding and would drag the statistics along.
    next_weight = transition.weight * (transition.discount > 0)
    joint_weight = jnp.concatenate([transition.weight, next_weight])
    q_joint, stats = apply_critics(networks.critic, params, stats, joint, joint_weight, True)
    q, next_q = jnp.split(q_joint, 2, axis=1)
    next_value = reduce_critics(next_q, config)
    if config.critic_entropy:
        next_value -= temperature * next_log_probs
    next_value = jnp.sum(jnp.exp(next_log_probs) * next_value, axis=-1)
    discount = config.discount * transition.discount
    target = transition.reward + jnp.where(discount > 0, discount * next_value, 0.0)
    taken = jnp.take_along_axis(q, transition.action[None, :, None], axis=2)[..., 0]
    error = taken - jax.lax.stop_gradient(target)
    share = transition.weight / jnp.maximum(transition.weight.sum(), 1.0)
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

    Args:
      q: `[B, A]` of the critics in evaluation mode; no gradient flows into it.
    """
    observation = transition.observation
    logits, stats = networks.policy.apply(params, stats, observation, transition.weight, True)
    log_probs = masked_log_probs(logits, observation.legal_actions)
    probs = jnp.exp(log_probs)
    share = transition.weight / jnp.maximum(transition.weight.sum(), 1.0)
    entropy = -jnp.sum(share * jnp.sum(probs * log_probs, axis=-1))
    value = jnp.sum(share * jnp.sum(probs * jax.lax.stop_gradient(q), axis=-1))
    return -temperature * entropy - value, PolicyExtra(stats, entropy)

"""Records and helpers that CrossQ's losses share, for both kinds of actions.

Dimensions: `B` decisions, `U` observations, `A` actions (discrete) or numbers in an action (continuous),
`E` critics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from agents.core import Transition
from agents.crossq.config import CrossQConfig
from agents.crossq.networks import CrossQNetworks
from agents.networks import shares


class Fitted(NamedTuple):
    """A network's parameters and running statistics; those of critics are stacked along an axis `[E]`."""

    params: Any
    stats: Any


class Model(NamedTuple):
    """Networks and configuration, shared by all losses of an agent."""

    networks: CrossQNetworks
    config: CrossQConfig


class CriticExtra(NamedTuple):
    """Auxiliary output of the critics' loss.

    Attributes:
      stats: the critics' new running statistics.
      q: `[]`, mean value of the actions taken, over decisions and critics.
    """

    stats: Any
    q: jax.Array


class PolicyExtra(NamedTuple):
    """Auxiliary output of the policy's loss.

    Attributes:
      stats: the policy's new running statistics.
      entropy: `[]`, mean entropy of the policy, in nats.
      target_entropy: `[]`, entropy that a learned temperature steers the policy towards, in nats.
    """

    stats: Any
    entropy: jax.Array
    target_entropy: jax.Array


class Actions(NamedTuple):
    """Functions that depend on the kind of actions, discrete or continuous.

    Attributes:
      following: (model, policy, key, transition) -> the policy's actions, or its log probabilities, at the
        next observations, without gradient. The third argument of `critic_loss`.
      critic_loss: (params, stats, following, temperature, transition, model) -> (loss, CriticExtra).
      evaluate: (model, critics, transition) -> the critics' values of all actions, or the critics
        themselves if actions are too many to list. The third argument of `policy_loss`.
      policy_loss: (params, stats, evaluated, temperature, key, transition, model) -> (loss, PolicyExtra).
    """

    following: Callable[[Model, Fitted, jax.Array, Transition], Any]
    critic_loss: Callable[..., tuple[jax.Array, CriticExtra]]
    evaluate: Callable[[Model, Fitted, Transition], Any]
    policy_loss: Callable[..., tuple[jax.Array, PolicyExtra]]


def reduce_critics(q: jax.Array, config: CrossQConfig) -> jax.Array:
    """Returns the minimum or the mean `[..]` of the critics' values `[E, ..]`."""
    chex.assert_axis_dimension(q, 0, config.num_critics)
    return q.min(axis=0) if config.q_reduction == "min" else q.mean(axis=0)


def squared_error(
    taken: jax.Array, following: jax.Array, transition: Transition, config: CrossQConfig
) -> jax.Array:
    """Computes half the mean squared temporal difference, summed over critics.

    Args:
      taken: `[E, B]`, values of the actions taken.
      following: `[B]`, values of the next observations. They may be any number, even NaN, if the episode
        ended. No gradient flows into them.
      transition: the decisions; their weights weight the mean.
      config: its discount and reward scale multiply the transition's own discount and reward.

    Returns:
      The loss `[]`.
    """
    chex.assert_rank(taken, 2)
    chex.assert_shape([following, transition.reward, transition.discount, transition.weight], taken.shape[1:])
    discounts = config.discount * transition.discount
    # A product with 0 would keep a NaN or an infinity from behind the end of an episode, so select instead.
    target = config.reward_scale * transition.reward + jnp.where(discounts > 0, discounts * following, 0.0)
    # The target comes from the same networks and the same pass, but is a constant to the gradient.
    error = taken - jax.lax.stop_gradient(target)
    return 0.5 * jnp.sum(shares(transition.weight) * jnp.square(error))

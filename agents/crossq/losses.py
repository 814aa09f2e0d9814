"""What CrossQ's losses have in common, whichever kind of actions.

Dimensions: `B` decisions, `U` observations, `A` actions (discrete) or numbers in an action (continuous),
`E` critics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.core import Transition
from agents.crossq.config import CrossQConfig
from agents.crossq.networks import CrossQNetworks
from agents.networks import shares


class Fitted(NamedTuple):
    """A network's parameters with its running statistics, or those of critics stacked along an axis `[E]`."""

    params: Any
    stats: Any


class Setting(NamedTuple):
    """What the losses of one agent are bound to."""

    networks: CrossQNetworks
    config: CrossQConfig


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
      target_entropy: `[]`, what a learned temperature steers it to, in nats.
    """

    stats: Any
    entropy: jax.Array
    target_entropy: jax.Array


class Actions(NamedTuple):
    """What depends on the kind of actions.

    Attributes:
      following: (setting, policy, key, transition) -> what the policy does at every observation, without
        gradient, as `critic_loss` wants it.
      critic_loss: (params, stats, following, temperature, transition, setting) -> (loss, CriticExtra).
      evaluate: (setting, critics, transition) -> what `policy_loss` needs of the critics.
      policy_loss: (params, stats, evaluated, temperature, key, transition, setting) -> (loss, PolicyExtra).
    """

    following: Callable[[Setting, Fitted, jax.Array, Transition], Any]
    critic_loss: Callable[..., tuple[jax.Array, CriticExtra]]
    evaluate: Callable[[Setting, Fitted, Transition], Any]
    policy_loss: Callable[..., tuple[jax.Array, PolicyExtra]]


def reduce_critics(q: jax.Array, config: CrossQConfig) -> jax.Array:
    """`[E, ..]` to `[..]`."""
    return q.min(axis=0) if config.q_reduction == "min" else q.mean(axis=0)


def squared_error(
    taken: jax.Array, following: jax.Array, transition: Transition, config: CrossQConfig
) -> jax.Array:
    """Half the mean squared temporal difference, summed over critics.

    Args:
      taken: `[E, B]`, values of the actions taken.
      following: `[B]`, value of what comes next; may be anything where the episode ended. No gradient
        flows into it.
      config: whose discount and reward scale multiply the transition's own.
    """
    discounts = config.discount * transition.discount
    target = config.reward_scale * transition.reward + jnp.where(discounts > 0, discounts * following, 0.0)
    error = taken - jax.lax.stop_gradient(target)
    return 0.5 * jnp.sum(shares(transition.weight) * jnp.square(error))

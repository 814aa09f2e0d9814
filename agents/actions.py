"""Conversions from a policy's output to actions, shared by all agents.

Dimensions: `B` batch, `A` actions (discrete) or numbers in an action (continuous).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from agents.core import Bounds, Key, Observation


def legal_probs(log_probs: jax.Array, legal_actions: jax.Array) -> jax.Array:
    """Returns probabilities `[B, A]`, exactly 0 on illegal actions."""
    chex.assert_equal_shape([log_probs, legal_actions])
    return jnp.where(legal_actions, jnp.exp(log_probs), 0.0)


def mix_uniform(probs: jax.Array, legal_actions: jax.Array, share: float) -> jax.Array:
    """Returns a mixture `[B, A]` of probabilities and the uniform distribution over legal actions.

    Args:
      probs: `[B, A]`, 0 on illegal actions.
      legal_actions: `[B, A]` bool.
      share: weight of the uniform distribution, in [0, 1].
    """
    chex.assert_equal_shape([probs, legal_actions])
    # Rows without legal actions, as at the end of a game, must not divide by 0.
    uniform = legal_actions / jnp.maximum(legal_actions.sum(axis=-1, keepdims=True), 1)
    return (1 - share) * probs + share * uniform


def draw(key: Key, probs: jax.Array) -> jax.Array:
    """Draws actions `[B]` with the given probabilities `[B, A]`."""
    chex.assert_rank(probs, 2)
    # The logarithm of 0 is minus infinity, with which an illegal action is never drawn.
    return jax.random.categorical(key, jnp.log(probs))


class DiscreteActing(NamedTuple):
    """Functions by which a policy with discrete actions acts; fields of an `AgentCore`.

    Attributes:
      act: (variables, key, observation) -> `[B]`, actions drawn from `behaviour`.
      perform: (variables, key, observation) -> `[B]`, actions drawn from `probs`.
      behaviour: (variables, observation) -> `[B, A]`, probabilities while learning, exploration included.
      probs: (variables, observation) -> `[B, A]`, the policy's probabilities, exactly 0 on illegal actions.
    """

    act: Callable[[Any, Key, Observation], jax.Array]
    perform: Callable[[Any, Key, Observation], jax.Array]
    behaviour: Callable[[Any, Observation], jax.Array]
    probs: Callable[[Any, Observation], jax.Array]


def discrete_acting(log_probs: Callable[[Any, Observation], jax.Array], exploration: float) -> DiscreteActing:
    """Makes the functions by which a policy with discrete actions acts.

    Args:
      log_probs: (variables, observation) -> `[B, A]`, log probabilities, normalised over legal actions.
      exploration: probability of a uniform legal action while learning.
    """

    def probs(variables: Any, observation: Observation) -> jax.Array:
        return legal_probs(log_probs(variables, observation), observation.legal_actions)

    def behaviour(variables: Any, observation: Observation) -> jax.Array:
        return mix_uniform(probs(variables, observation), observation.legal_actions, exploration)

    def act(variables: Any, key: Key, observation: Observation) -> jax.Array:
        return draw(key, behaviour(variables, observation))

    def perform(variables: Any, key: Key, observation: Observation) -> jax.Array:
        return draw(key, probs(variables, observation))

    return DiscreteActing(act, perform, behaviour, probs)


def explore(key: Key, action: jax.Array, share: float) -> jax.Array:
    """Replaces a share of the actions `[B, A]`, which lie in [-1, 1], by uniform ones.

    Args:
      key: random key.
      action: `[B, A]`.
      share: probability that an action is replaced, in [0, 1].
    """
    chex.assert_rank(action, 2)
    # The share is a constant of the program, so agents that do not explore spend no random numbers.
    if share == 0:
        return action
    uniform_key, choice_key = jax.random.split(key)
    uniform = jax.random.uniform(uniform_key, action.shape, minval=-1.0, maxval=1.0)
    explores = jax.random.bernoulli(choice_key, share, (action.shape[0], 1))
    return jnp.where(explores, uniform, action)


def squash(action: jax.Array, bounds: Bounds) -> jax.Array:
    """Maps the environment's actions `[.., A]` to [-1, 1]."""
    chex.assert_equal_shape_suffix([action, bounds.low, bounds.high], 1)
    return 2 * (action - bounds.low) / (bounds.high - bounds.low) - 1


def stretch(action: jax.Array, bounds: Bounds) -> jax.Array:
    """Maps actions `[.., A]` in [-1, 1] to the environment's actions, never beyond their bounds."""
    # Rounding may carry an action past its bound, which environments reject.
    return jnp.clip(unsquash(action, bounds), bounds.low, bounds.high)


def unsquash(action: jax.Array, bounds: Bounds) -> jax.Array:
    """Maps numbers `[.., A]` to the environment's units; those beyond [-1, 1] lie beyond the bounds."""
    chex.assert_equal_shape_suffix([action, bounds.low, bounds.high], 1)
    return bounds.low + (action + 1) / 2 * (bounds.high - bounds.low)

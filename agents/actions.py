"""From what a policy gives to actions, whichever agent's policy.

Dimensions: `B` batch, `A` actions (discrete) or numbers in an action (continuous).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from agents.core import Bounds, Key


def legal_probs(log_probs: jax.Array, legal_actions: jax.Array) -> jax.Array:
    """`[B, A]`, exactly 0 on illegal actions."""
    return jnp.where(legal_actions, jnp.exp(log_probs), 0.0)


def mix_uniform(probs: jax.Array, legal_actions: jax.Array, share: float) -> jax.Array:
    """`[B, A]`: probabilities, with a share of all legal actions alike."""
    uniform = legal_actions / jnp.maximum(legal_actions.sum(axis=-1, keepdims=True), 1)
    return (1 - share) * probs + share * uniform


def draw(key: Key, probs: jax.Array) -> jax.Array:
    """`[B]` actions drawn by their probabilities `[B, A]`."""
    return jax.random.categorical(key, jnp.log(probs))


def explore(key: Key, action: jax.Array, share: float) -> jax.Array:
    """`[B, A]` actions in [-1, 1], a share of them replaced by uniform ones."""
    if share == 0:
        return action
    uniform_key, choice_key = jax.random.split(key)
    uniform = jax.random.uniform(uniform_key, action.shape, minval=-1.0, maxval=1.0)
    explores = jax.random.bernoulli(choice_key, share, (action.shape[0], 1))
    return jnp.where(explores, uniform, action)


def squash(action: jax.Array, bounds: Bounds) -> jax.Array:
    """From the environment's actions to [-1, 1]."""
    return 2 * (action - bounds.low) / (bounds.high - bounds.low) - 1


def stretch(action: jax.Array, bounds: Bounds) -> jax.Array:
    """From [-1, 1] to the environment's actions, never past their bounds."""
    stretched = bounds.low + (action + 1) / 2 * (bounds.high - bounds.low)
    return jnp.clip(stretched, bounds.low, bounds.high)

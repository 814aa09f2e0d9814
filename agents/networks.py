"""Helpers shared by all agents' networks: inputs, masked outputs, and the rows and weights of batches.

Dimensions: `B` batch, `D` inputs, `U` observations, `A` actions (discrete) or numbers in an action
(continuous).
"""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from agents.core import Bounds, Observation, Transition


def flatten(inputs: Any) -> jax.Array:
    """Returns all numbers of arrays `[B, ..]` as `[B, D]` float32; legal actions are left out."""
    # Legal actions mask the outputs. The information state determines them, so as inputs they add nothing.
    if isinstance(inputs, Observation):
        inputs = (inputs.info_state, inputs.context)
    leaves = jax.tree.leaves(inputs)
    chex.assert_equal_shape_prefix(leaves, 1)
    rows = [jnp.asarray(leaf, jnp.float32).reshape(leaf.shape[0], -1) for leaf in leaves]
    return rows[0] if len(rows) == 1 else jnp.concatenate(rows, axis=-1)


def masked_log_probs(logits: jax.Array, legal_actions: jax.Array) -> jax.Array:
    """Returns log probabilities `[B, A]` over legal actions; illegal ones get a finite, very low value.

    If no action is legal, as at the end of a game, all count as legal, which avoids NaN.

    Args:
      logits: `[B, A]`.
      legal_actions: `[B, A]` bool.
    """
    chex.assert_rank([logits, legal_actions], 2)
    chex.assert_equal_shape([logits, legal_actions])
    possible = legal_actions | ~legal_actions.any(axis=-1, keepdims=True)
    # Minus infinity instead would make probability times log probability NaN: it multiplies 0 by infinity.
    return jax.nn.log_softmax(jnp.where(possible, logits, -1e9), axis=-1)


def take_rows(observation: Any, index: jax.Array) -> Any:
    """Returns the rows `index` `[B]` of observations `[U, ..]`."""
    chex.assert_rank(index, 1)
    return jax.tree.map(lambda leaf: leaf[index], observation)


def shares(weight: jax.Array) -> jax.Array:
    """Returns `[B]`, each row's share of the total of the weights `[B]`, or zeros if the total is zero."""
    chex.assert_rank(weight, 1)
    total = weight.sum()
    return weight / jnp.where(total > 0, total, 1.0)


def row_weights(transition: Transition, rows: jax.Array, weight: jax.Array) -> jax.Array:
    """Returns `[U]`, the total weight of the decisions that refer to each row of the observations.

    Args:
      transition: the batch of decisions. Its observation is an `Observation`.
      rows: `[B]` int32, the row that each decision refers to: the transition's `now` or `then`.
      weight: `[B]`, the weight of each decision.
    """
    chex.assert_rank([rows, weight], 1)
    chex.assert_equal_shape([rows, weight])
    num_rows = transition.observation.info_state.shape[0]
    # Unlike an assignment, `add` accumulates the weights of decisions that share a row.
    return jnp.zeros(num_rows, weight.dtype).at[rows].add(weight)


def check_bounds(bounds: Bounds) -> Bounds:
    """Returns the bounds `[A]` of continuous actions as float32 arrays.

    Raises:
      ValueError: the bounds are not finite, too far apart, or in the wrong order.
    """
    low, high = (np.asarray(side, np.float32) for side in bounds)
    if low.ndim != 1 or low.shape != high.shape or not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ValueError("continuous actions need finite bounds for every number; clip them.")
    # Two finite bounds may still have an infinite difference, by which `squash` would divide.
    if not np.isfinite(high - low).all():
        raise ValueError(f"the actions' bounds {low} and {high} are too far apart for float32; clip them.")
    if not (low < high).all():
        raise ValueError(f"the lowest action {low} must be below the highest {high}.")
    return Bounds(jnp.asarray(low), jnp.asarray(high))

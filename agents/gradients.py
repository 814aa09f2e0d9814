"""Gradient steps of a loss with an optimiser, and updates that are only due now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp
import optax

from agents.core import Metrics

Params = Any
Part = TypeVar("Part")


class GradientStep(NamedTuple):
    """Result of one gradient step.

    Attributes:
      loss: `[]`, the loss before the step.
      aux: the loss function's auxiliary output, also from before the step.
      params: the parameters after the step.
      optimiser_state: the optimiser's state after the step.
    """

    loss: jax.Array
    aux: Any
    params: Params
    optimiser_state: optax.OptState


def make_update(
    loss: Callable[..., tuple[jax.Array, Any]], optimiser: optax.GradientTransformation
) -> Callable[..., GradientStep]:
    """Returns a function that takes one gradient step of the loss.

    Args:
      loss: (params, *rest) -> (scalar, auxiliary output); differentiated with respect to `params` only.
      optimiser: the optimiser of the parameters. The caller keeps its state.

    Returns:
      A function (params, optimiser state, *rest) -> GradientStep.
    """
    value_and_grad = jax.value_and_grad(loss, has_aux=True)

    def update(params: Params, optimiser_state: optax.OptState, *rest: Any) -> GradientStep:
        (value, aux), grads = value_and_grad(params, *rest)
        # Weight decay and some other transformations read the parameters, so they are always passed.
        updates, optimiser_state = optimiser.update(grads, optimiser_state, params)
        return GradientStep(value, aux, optax.apply_updates(params, updates), optimiser_state)

    return update


def update_if(
    due: jax.Array, update: Callable[[], tuple[Part, Metrics]], unchanged: Part
) -> tuple[Part, Metrics]:
    """Runs an update if it is due, and otherwise keeps what it would have changed.

    Args:
      due: `[]` bool.
      update: function that returns the changed part of the training state, and metrics `[]`.
      unchanged: the same part of the training state before the update.

    Returns:
      The part after the update, and its metrics; they are NaN if the update was not due.
    """
    chex.assert_rank(due, 0)
    # Both branches must return the same metrics. The shapes come from a trace, which computes nothing.
    _, shapes = jax.eval_shape(update)

    def skip() -> tuple[Part, Metrics]:
        # NaN marks a metric that was not computed, so that averages can leave it out; 0 would look measured.
        return unchanged, {name: jnp.full(each.shape, jnp.nan, each.dtype) for name, each in shapes.items()}

    # The outputs of a branch are copied. Callers therefore pass only the part that the update changes, not
    # the whole training state.
    return jax.lax.cond(due, update, skip)

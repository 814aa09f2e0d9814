"""Gradient steps of a loss with an optimiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax

Params = Any


def make_update(
    loss: Callable[..., tuple[jax.Array, Any]], optimiser: optax.GradientTransformation
) -> Callable[..., tuple[jax.Array, Any, Params, optax.OptState]]:
    """Returns a function that takes one gradient step of the loss.

    Args:
      loss: (params, *rest) -> (scalar, auxiliary output); differentiated with respect to `params` only.
      optimiser: the optimiser of the parameters. The caller keeps its state.

    Returns:
      A function (params, optimiser state, *rest) ->
        (loss, auxiliary output, new params, new optimiser state).
    """
    value_and_grad = jax.value_and_grad(loss, has_aux=True)

    def update(
        params: Params, optimiser_state: optax.OptState, *rest: Any
    ) -> tuple[jax.Array, Any, Params, optax.OptState]:
        (value, aux), grads = value_and_grad(params, *rest)
        updates, optimiser_state = optimiser.update(grads, optimiser_state, params)
        return value, aux, optax.apply_updates(params, updates), optimiser_state

    return update

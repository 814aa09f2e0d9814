"""Temperatures and Lagrange multipliers of MPO's constraints, one set for all members or one for each.

The learned numbers are raw; their softplus is the positive value. Below 1, softplus is nearly the
exponential, so a step of the optimiser changes a value in proportion to itself. Above 1, a step adds the same
to any value. Values that begin above 1 are therefore in units of their first value. Without this, Acme's
multiplier of 1,000 would hardly change within thousands of updates, even if its constraint required it.

Dimensions: `B` decisions, `K` sets (1, or one for each member), `D` dimensions of a constraint: 1, or one for
each number of a continuous action.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from agents.conditional_mpo.config import ConditionalMPOConfig

# As in Acme: values stay above zero, and raw numbers stay in a range in which gradients still move them.
_LEAST_VALUE = 1e-8
_LEAST_RAW = -18.0


class Duals(NamedTuple):
    """Dual variables, either raw numbers or values.

    Attributes:
      temperature: `[K]`, of the E-step (Abdolmaleki et al. 2018b, equation 4), in units of scaled reward.
      penalty_temperature: `[K]`, of the E-step that penalises actions out of bounds, in units of action; not
        used without `action_penalty`.
      alphas: `[K, D]` each, Lagrange multipliers of the M-step's constraints: of the policy if actions
        are discrete, of means and of deviations if they are continuous.
    """

    temperature: Any
    penalty_temperature: Any
    alphas: tuple[Any, ...]


def init(config: ConditionalMPOConfig, num_actions: int, is_discrete: bool) -> Duals:
    """Returns raw numbers `[K]` and `[K, D]` that stand for the configuration's first values.

    Args:
      config: the agent's configuration.
      num_actions: number of dimensions of a continuous action; not used if actions are discrete.
      is_discrete: True if actions are discrete.
    """
    num_sets = config.num_members if config.duals_per_member else 1
    size = num_actions if config.per_dimension and not is_discrete else 1
    first = _first_values(config, is_discrete)
    raw = jax.tree.map(lambda value, unit: _raw(value / unit), first, _units(first))
    return Duals(
        jnp.full(num_sets, raw.temperature),
        jnp.full(num_sets, raw.penalty_temperature),
        tuple(jnp.full((num_sets, size), alpha) for alpha in raw.alphas),
    )


def select(config: ConditionalMPOConfig, duals: Duals, member: jax.Array) -> Duals:
    """Returns the values for each decision.

    Args:
      config: the agent's configuration.
      duals: raw numbers, `[K]` and `[K, D]`.
      member: `[B]` int32, index of the member that decides; not used if there is one set for all.

    Returns:
      Values `[B]` and `[B, D]`, all above 0.
    """
    chex.assert_rank([member, duals.temperature, *duals.alphas], [1, 1, *(2 for _ in duals.alphas)])

    def of_decisions(raw: jax.Array, unit: float) -> jax.Array:
        value = unit * jax.nn.softplus(raw) + _LEAST_VALUE
        # One set serves all members, or the only one, so no look-up is needed.
        if len(value) == 1:
            return jnp.broadcast_to(value, (*member.shape, *value.shape[1:]))
        return value[member]

    # Discrete policies have one constraint; those of continuous actions have two.
    return jax.tree.map(of_decisions, duals, _units(_first_values(config, len(duals.alphas) == 1)))


def floor(duals: Duals) -> Duals:
    """Raises raw numbers that are so low that their gradient would vanish; called after each update."""
    # While a constraint is slack, its number falls in every step. Without the floor, it would reach values at
    # which softplus has no gradient left to raise it again.
    return jax.tree.map(lambda raw: jnp.maximum(raw, _LEAST_RAW), duals)


def _first_values(config: ConditionalMPOConfig, is_discrete: bool) -> Duals:
    """Returns the configuration's first values, as Python numbers."""
    alphas = (config.alpha_policy,) if is_discrete else (config.alpha_mean, config.alpha_deviation)
    return Duals(config.temperature, config.penalty_temperature, alphas)


def _units(first: Duals) -> Duals:
    """Returns the unit of each value: its first value if that is above 1, otherwise 1."""
    return jax.tree.map(lambda value: max(1.0, value), first)


def _raw(value: float) -> np.float32:
    """Returns the inverse of softplus at a value, but at least `_LEAST_RAW`."""
    value = max(value - _LEAST_VALUE, _LEAST_VALUE)
    # The usual form of the inverse, log(exp(value) - 1), would overflow at large values.
    return np.float32(max(value + np.log(-np.expm1(-value)), _LEAST_RAW))

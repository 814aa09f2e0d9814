"""Temperatures and multipliers of conditional MPO's constraints, one set for all members or one for each.

They are learned as raw numbers; what counts is their softplus, which is positive. Below 1 it is nearly the
raw number's exponential, so that a step of the optimiser changes it by a share of itself; above 1 a step adds
as much to any value. Values that begin above 1 are therefore counted in units of their first value: else
Acme's multiplier of 1,000 would be nearly that after thousands of updates, whatever its constraint needs.

Dimensions: `B` decisions, `K` sets (1, or one for each member), `D` dimensions of a constraint: 1, or one for
each number of a continuous action.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.conditional_mpo.config import ConditionalMPOConfig

# As in Acme: values stay above zero, and raw numbers where gradients still move them.
_LEAST_VALUE = 1e-8
_LEAST_RAW = -18.0


class Duals(NamedTuple):
    """Dual variables, raw or as values.

    Attributes:
      temperature: `[K]`, of the E-step (Abdolmaleki et al. 2018b, equation 4), in units of scaled reward.
      penalty_temperature: `[K]`, of the E-step that pays for actions out of bounds, in units of action; not
        used where there is none.
      alphas: `[K, D]` each, multipliers of the M-step's constraints: of the policy where actions are
        discrete, of means and of deviations where they are continuous.
    """

    temperature: Any
    penalty_temperature: Any
    alphas: tuple[Any, ...]


def init(config: ConditionalMPOConfig, num_actions: int, is_discrete: bool) -> Duals:
    """Raw numbers `[K]` and `[K, D]` whose values are the configuration's.

    Args:
      num_actions: numbers in a continuous action; of no account where actions are discrete.
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
    """Values, not raw, of each decision's member `[B]` int32: `K` becomes `B`. One set serves all members."""

    def of_decisions(raw: jax.Array, unit: float) -> jax.Array:
        value = unit * jax.nn.softplus(raw) + _LEAST_VALUE
        if len(value) == 1:
            return jnp.broadcast_to(value, (*member.shape, *value.shape[1:]))
        return value[member]

    return jax.tree.map(of_decisions, duals, _units(_first_values(config, len(duals.alphas) == 1)))


def floor(duals: Duals) -> Duals:
    """Raw numbers, none of them so low that its gradient would vanish; for after each update."""
    return jax.tree.map(lambda raw: jnp.maximum(raw, _LEAST_RAW), duals)


def _first_values(config: ConditionalMPOConfig, is_discrete: bool) -> Duals:
    alphas = (config.alpha_policy,) if is_discrete else (config.alpha_mean, config.alpha_deviation)
    return Duals(config.temperature, config.penalty_temperature, alphas)


def _units(first: Duals) -> Duals:
    return jax.tree.map(lambda value: max(1.0, value), first)


def _raw(value: float) -> np.float32:
    """What softplus makes a value of, or the least one."""
    value = max(value - _LEAST_VALUE, _LEAST_VALUE)
    # Large values would overflow in the inverse's usual form, log(exp(value) - 1).
    return np.float32(max(value + np.log(-np.expm1(-value)), _LEAST_RAW))

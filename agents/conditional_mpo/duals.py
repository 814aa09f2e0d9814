"""The dual variables: temperatures of the E-step and multipliers of the M-step's constraints.

Dimensions: `K` sets of duals (1, or one for each member), `D` dimensions of a constraint, `R` rows.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from agents.conditional_mpo.config import ConditionalMPOConfig

# Below it softplus is so flat that gradients would hardly bring a dual back.
_FLOOR = -18.0
_LEAST = 1e-8


class Duals(NamedTuple):
    """Raw numbers, of which softplus makes the positive values; or such values, see `select`.

    Attributes:
      temperature: `[K]`, of values.
      penalty_temperature: `[K]`, of what actions out of bounds cost.
      alphas: `[K, D]` for each constraint on the policy.
    """

    temperature: jax.Array
    penalty_temperature: jax.Array
    alphas: tuple[jax.Array, ...]


def init(config: ConditionalMPOConfig, num_actions: int, is_discrete: bool) -> Duals:
    """The duals before learning.

    Args:
      num_actions: numbers in a continuous action; not looked at where actions are discrete.
    """
    num_sets = config.num_members if config.duals_per_member else 1
    size = num_actions if config.per_dimension else 1
    alphas: tuple[float, ...] = (config.alpha_mean, config.alpha_deviation)
    if is_discrete:
        size, alphas = 1, (config.alpha_policy,)
    return Duals(
        temperature=_raw(config.temperature, (num_sets,)),
        penalty_temperature=_raw(config.penalty_temperature, (num_sets,)),
        alphas=tuple(_raw(alpha, (num_sets, size)) for alpha in alphas),
    )


def _raw(value: float, shape: tuple[int, ...]) -> jax.Array:
    """What softplus makes a value of; the form is exact for large ones too."""
    full = jnp.full(shape, value, jnp.float32)
    return jnp.maximum(full + jnp.log(-jnp.expm1(-full)), _FLOOR)


def select(duals: Duals, member: jax.Array) -> Duals:
    """Values, not raw, of each row's member `[R]`: `[R]` and `[R, D]`."""

    def of_rows(raw: jax.Array) -> jax.Array:
        value = jax.nn.softplus(raw) + _LEAST
        if value.shape[0] > 1:
            return value[member]
        return jnp.broadcast_to(value, (*member.shape, *value.shape[1:]))

    return jax.tree.map(of_rows, duals)


def floor(duals: Duals) -> Duals:
    """Raw duals that have not sunk out of reach."""
    return jax.tree.map(lambda raw: jnp.maximum(raw, _FLOOR), duals)

"""M-step of MPO and of V-MPO: KL constraints of the policy, and the losses of their Lagrange multipliers.

All functions are pure. Source: Abdolmaleki et al. 2018b (arXiv 1812.02256).

Dimensions: `B` decisions, `A` actions (discrete) or numbers in an action (continuous), `N` sampled actions,
`D` dimensions of a constraint: 1, or `A`. A `share` `[B]` says how much each decision counts: the shares
sum to 1, and decisions that do not count have 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from agents.conditional_mpo.base import ILLEGAL_LOG_PROB
from agents.conditional_mpo.duals import Duals


class Gaussian(NamedTuple):
    """Normal distributions with diagonal covariance: means and standard deviations, `[B, A]` each."""

    mean: jax.Array
    deviation: jax.Array


def categorical_kl(log_target: jax.Array, log_online: jax.Array) -> jax.Array:
    """Computes the KL `[B, 1]` from the target to the online policy, in nats.

    Args:
      log_target: `[B, A]`, log probabilities; about -1e9 or lower on illegal actions, which do not count.
      log_online: `[B, A]`, log probabilities.
    """
    chex.assert_rank([log_target, log_online], 2)
    chex.assert_equal_shape([log_target, log_online])
    # Masked before the arithmetic, so that illegal actions make neither the KL nor its gradient NaN.
    legal = log_target > ILLEGAL_LOG_PROB
    difference = jnp.where(legal, log_target, 0.0) - jnp.where(legal, log_online, 0.0)
    return jnp.sum(jnp.where(legal, jnp.exp(log_target), 0.0) * difference, axis=-1, keepdims=True)


def gaussian_kls(target: Gaussian, online: Gaussian, per_dimension: bool) -> tuple[jax.Array, jax.Array]:
    """Computes the KL from the target to the online policy, decoupled, in nats (section 4.2.1).

    Returns:
      `[B, D]` with the online mean and the target's deviation, and `[B, D]` with the target's mean and the
      online deviation; `D` is `A`, or 1 for their sums.
    """
    chex.assert_rank([*target, *online], 2)
    chex.assert_equal_shape([*target, *online])
    of_mean = 0.5 * jnp.square((target.mean - online.mean) / target.deviation)
    # The KL of deviations is (r^2 - 1 - log r^2) / 2, with r the ratio of the target's to the online ones.
    # Bounds of 1e-6 are near the resolution of float32 at 1, so nothing here subtracts numbers near 1.
    double = 2.0 * jnp.log1p((target.deviation - online.deviation) / online.deviation)
    of_deviation = 0.5 * (jnp.expm1(double) - double)
    if per_dimension:
        return of_mean, of_deviation
    return of_mean.sum(axis=-1, keepdims=True), of_deviation.sum(axis=-1, keepdims=True)


def gaussian_log_prob(distribution: Gaussian, action: jax.Array) -> jax.Array:
    """Returns log densities `[N, B]` of actions `[N, B, A]`."""
    chex.assert_rank([action, *distribution], [3, 2, 2])
    chex.assert_equal_shape_suffix([action, *distribution], 2)
    mean, deviation = distribution
    squares = jnp.square((action - mean) / deviation)
    return -jnp.sum(0.5 * squares + jnp.log(deviation) + 0.5 * math.log(2.0 * math.pi), axis=-1)


def constraint_loss(
    kl: jax.Array, alpha: jax.Array, epsilon: float, share: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Computes the Lagrangian relaxation of a KL constraint of the M-step (section 4.2).

    Args:
      kl: `[B, D]`, in nats.
      alpha: `[B, D]`, Lagrange multipliers.
      epsilon: bound of the KL of each of the `D` dimensions.
      share: `[B]`.

    Returns:
      `[]`, the policy's penalty, with a gradient in `kl` alone; and `[]`, the multipliers' loss, with a
      gradient in `alpha` alone. A step against it raises `alpha` if `kl` is above its bound.
    """
    chex.assert_rank([kl, alpha, share], [2, 2, 1])
    chex.assert_equal_shape([kl, alpha])
    counts = share[:, None]
    # One saddle-point problem as two losses: the policy descends on `alpha * kl`, the multipliers ascend on
    # `alpha * (kl - epsilon)`. Each takes the other as a constant.
    penalty = jnp.sum(counts * jax.lax.stop_gradient(alpha) * kl)
    return penalty, jnp.sum(counts * alpha * (epsilon - jax.lax.stop_gradient(kl)))


def penalties(
    kls: tuple[jax.Array, ...], duals: Duals, bounds: dict[str, float], share: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Computes the policy's penalty for its KL from the prior, and the loss of the Lagrange multipliers.

    Args:
      kls: `[B, D]` for each constraint.
      duals: values, not raw numbers, of each decision's temperatures and multipliers.
      bounds: {name: epsilon} of the constraints, in the order of `kls`.
      share: `[B]`.

    Returns:
      (penalty `[]` with a gradient in the KLs, loss `[]` with a gradient in the multipliers).
    """
    pairs = [
        constraint_loss(kl, alpha, epsilon, share)
        for kl, alpha, epsilon in zip(kls, duals.alphas, bounds.values(), strict=True)
    ]
    penalty, dual_loss = (jnp.stack(each).sum() for each in zip(*pairs, strict=True))
    return penalty, dual_loss

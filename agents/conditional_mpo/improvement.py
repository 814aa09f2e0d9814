"""The E-step and the constraints of the M-step as pure functions.

Dimensions: `B` decisions or observations, `A` actions (discrete) or numbers in an action (continuous), `N`
sampled actions, `D` dimensions of a constraint (1, or `A`). `share` `[B]` says how much each row counts; it
sums to 1.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

# Masked log probabilities lie below, those of legal actions never.
_ILLEGAL = -1e8


class Gaussian(NamedTuple):
    """Normal distributions with independent numbers: mean and deviation, `[B, A]` each."""

    mean: jax.Array
    deviation: jax.Array


def categorical_weights(
    log_prior: jax.Array, q: jax.Array, temperature: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The improved policy over all legal actions (Abdolmaleki et al. 2018a, equation 7).

    Args:
      log_prior: `[B, A]`, far below zero on illegal actions.
      q: `[B, A]`; may be anything on illegal ones.
      temperature: `[B]`.

    Returns:
      weights `[B, A]` proportional to `prior * exp(q / temperature)`, exactly 0 on illegal actions, without
      gradient; and the logarithm of their sum before they are normalised, `[B]`, with a gradient in the
      temperature alone.
    """
    legal = log_prior > _ILLEGAL
    log_prior, q = jax.lax.stop_gradient((log_prior, jnp.where(legal, q, 0.0)))
    logits = jnp.where(legal, log_prior + q / temperature[:, None], -jnp.inf)
    return jax.lax.stop_gradient(jax.nn.softmax(logits)), jax.nn.logsumexp(logits, axis=-1)


def sampled_weights(q: jax.Array, temperature: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The improved policy over actions drawn from the prior (Abdolmaleki et al. 2018b, equation 3).

    Args:
      q: `[N, B]`.
      temperature: `[B]`.

    Returns:
      weights `[N, B]` that sum to 1 over the samples, without gradient; and the logarithm of the mean of
      `exp(q / temperature)`, `[B]`, with a gradient in the temperature alone.
    """
    logits = jax.lax.stop_gradient(q) / temperature
    log_normaliser = jax.nn.logsumexp(logits, axis=0) - jnp.log(q.shape[0])
    return jax.lax.stop_gradient(jax.nn.softmax(logits, axis=0)), log_normaliser


def temperature_loss(
    temperature: jax.Array, log_normaliser: jax.Array, epsilon: float, share: jax.Array
) -> jax.Array:
    """`[]`, the dual of the E-step (Abdolmaleki et al. 2018a, equation 8)."""
    return jnp.sum(share * temperature * (epsilon + log_normaliser))


def out_of_bounds_cost(action: jax.Array) -> jax.Array:
    """`[N, B]`: less the further actions `[N, B, A]` lie outside [-1, 1] (Abdolmaleki et al. 2020)."""
    return -jnp.linalg.norm(action - jnp.clip(action, -1.0, 1.0), axis=-1)


def categorical_kl(log_prior: jax.Array, log_online: jax.Array) -> jax.Array:
    """`[B, 1]`: KL of the online policy from the prior, over the prior's legal actions."""
    legal = log_prior > _ILLEGAL
    difference = jnp.where(legal, log_prior - log_online, 0.0)
    return jnp.sum(jnp.where(legal, jnp.exp(log_prior), 0.0) * difference, axis=-1, keepdims=True)


def gaussian_kls(prior: Gaussian, online: Gaussian, per_dimension: bool) -> tuple[jax.Array, jax.Array]:
    """KL from the prior of its mean moved, and of its deviation changed (2018b, equations 20 and 21).

    Returns:
      `[B, D]` each: a number for each dimension, or their sum.
    """
    of_mean = 0.5 * jnp.square((online.mean - prior.mean) / prior.deviation)
    ratio = prior.deviation / online.deviation
    of_deviation = 0.5 * (jnp.square(ratio) - 1.0) - jnp.log(ratio)
    if per_dimension:
        return of_mean, of_deviation
    return of_mean.sum(axis=-1, keepdims=True), of_deviation.sum(axis=-1, keepdims=True)


def gaussian_log_prob(policy: Gaussian, action: jax.Array) -> jax.Array:
    """`[N, B]`, log densities of actions `[N, B, A]`."""
    standard = (action - policy.mean) / policy.deviation
    each = -0.5 * jnp.square(standard) - jnp.log(policy.deviation) - 0.5 * jnp.log(2 * jnp.pi)
    return each.sum(axis=-1)


def constraint_loss(
    kl: jax.Array, alpha: jax.Array, epsilon: float, share: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The Lagrangian of a constraint `kl <= epsilon` (2018b, equation 6), once for either side.

    Args:
      kl: `[B, D]`.
      alpha: `[B, D]`, the multiplier of each row.

    Returns:
      (penalty `[]` with a gradient in `kl` alone, loss `[]` of the multipliers with one in `alpha` alone).
    """
    weight = share[:, None]
    penalty = jnp.sum(weight * jax.lax.stop_gradient(alpha) * kl)
    return penalty, jnp.sum(weight * alpha * (epsilon - jax.lax.stop_gradient(kl)))


def top_weights(
    advantage: jax.Array,
    temperature: jax.Array,
    share: jax.Array,
    top_fraction: float,
    member: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """V-MPO's weights of the decisions of a batch (Song et al. 2019, equations 4 and 5).

    Args:
      advantage: `[B]`.
      temperature: `[B]`, alike for all rows, or for all of a member.
      share: `[B]`; rows of share 0 are never chosen.
      top_fraction: share of the rows that count to choose, those of the largest advantages; at least one.
      member: `[B]` int32: rows are chosen and their weights normalised among those of the same member, each
        member weighing as much as its rows do. None: all together.

    Returns:
      weights `[B]` that sum to 1, without gradient; and the logarithm of the mean of
      `exp(advantage / temperature)` over the chosen rows of the row's member, `[B]`, with a gradient in the
      temperature alone.
    """
    advantage = jax.lax.stop_gradient(advantage)
    counts = share > 0
    together = counts[:, None] & counts
    if member is not None:
        together &= member[:, None] == member
    earlier = jnp.arange(share.shape[0])[:, None] > jnp.arange(share.shape[0])
    ahead = (advantage[:, None] < advantage) | ((advantage[:, None] == advantage) & earlier)
    rank = jnp.sum(together & ahead, axis=1)
    chosen = counts & (rank < jnp.maximum(1, jnp.ceil(top_fraction * together.sum(axis=1))))
    rivals = jnp.where(together & chosen, 0.0, -jnp.inf)
    logits = jnp.where(counts, advantage, 0.0) / temperature
    total = jax.nn.logsumexp(jnp.where(counts[:, None], logits + rivals, 0.0), axis=1)
    num_chosen = jnp.maximum(jnp.sum(together & chosen, axis=1), 1)
    weights = jnp.where(chosen, jnp.exp(logits - total), 0.0)
    # A member's share of the batch; 1 where all are taken together.
    weights *= jnp.sum(jnp.where(together, share, 0.0), axis=1)
    return jax.lax.stop_gradient(weights), jnp.where(counts, total - jnp.log(num_chosen), 0.0)

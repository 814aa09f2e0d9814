"""The E-step and the M-step's constraints of MPO, and V-MPO's weights: pure functions.

Sources: Abdolmaleki et al. 2018b (arXiv 1812.02256) unless another is named; V-MPO is Song et al. 2019
(arXiv 1909.12238).

Dimensions: `B` decisions, `A` actions (discrete) or numbers in an action (continuous), `N` sampled actions,
`D` dimensions of a constraint: 1, or `A`. A `share` `[B]` is how much each decision counts: all sum to 1,
those that do not count are 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

# Log probabilities below are of illegal actions.
_ILLEGAL = -1e8


class Gaussian(NamedTuple):
    """Normal distributions of independent numbers: means and standard deviations, `[B, A]` each."""

    mean: jax.Array
    deviation: jax.Array


def categorical_weights(
    log_prior: jax.Array, q: jax.Array, temperature: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The E-step (equation 4) over all actions: weights in proportion to `prior * exp(q / temperature)`.

    Args:
      log_prior: `[B, A]`, normalised over legal actions; about -1e9 or lower on illegal ones.
      q: `[B, A]`, no gradient reaches it; may be anything where actions are illegal, NaN included.
      temperature: `[B]`.

    Returns:
      weights `[B, A]` without gradient, exactly 0 on illegal actions, and their normaliser's logarithm `[B]`,
      `log sum(prior * exp(q / temperature))`, with a gradient in the temperature alone.
    """
    legal = log_prior > _ILLEGAL
    log_prior, q = jax.lax.stop_gradient((jnp.where(legal, log_prior, 0.0), jnp.where(legal, q, 0.0)))
    best = jnp.max(jnp.where(legal, q, -jnp.inf), axis=-1, keepdims=True)
    # Less the best value, so that no temperature makes exponents overflow.
    exponent = log_prior + jnp.where(legal, q - best, 0.0) / temperature[:, None]
    exponent = jnp.where(legal, exponent, -jnp.inf)
    log_sum = jax.nn.logsumexp(exponent, axis=-1)
    weights = jax.nn.softmax(exponent, axis=-1)
    return jax.lax.stop_gradient(weights), log_sum + best[:, 0] / temperature


def sampled_weights(q: jax.Array, temperature: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The E-step (equation 4) over actions drawn from the prior: weights in proportion to exponents.

    Args:
      q: `[N, B]`, no gradient reaches it.
      temperature: `[B]`.

    Returns:
      weights `[N, B]` without gradient, which sum to 1 over the samples, and their normaliser's logarithm
      `[B]`, `log mean(exp(q / temperature))`, with a gradient in the temperature alone.
    """
    exponent = jax.lax.stop_gradient(q) / temperature
    log_normaliser = jax.nn.logsumexp(exponent, axis=0) - math.log(len(q))
    return jax.lax.stop_gradient(jax.nn.softmax(exponent, axis=0)), log_normaliser


def temperature_loss(
    temperature: jax.Array, log_normaliser: jax.Array, epsilon: float, share: jax.Array
) -> jax.Array:
    """`[]`: the E-step's dual. At its minimum weights have a KL of `epsilon` nats from the prior.

    Args:
      temperature: `[B]`.
      log_normaliser: `[B]` or `[]`, with a gradient in the temperature.
    """
    return jnp.sum(share * temperature * (epsilon + log_normaliser))


def out_of_bounds_cost(action: jax.Array) -> jax.Array:
    """`[N, B]`, what actions `[N, B, A]` pay for lying beyond [-1, 1]: minus the distance; no gradient.

    It is a second objective beside value (Abdolmaleki et al. 2020, arXiv 2005.07513).
    """
    action = jax.lax.stop_gradient(action)
    return -jnp.linalg.norm(action - jnp.clip(action, -1.0, 1.0), axis=-1)


def categorical_kl(log_target: jax.Array, log_online: jax.Array) -> jax.Array:
    """`[B, 1]`, KL from target to online policy in nats.

    Args:
      log_target: `[B, A]`, about -1e9 or lower on illegal actions, of which nothing counts.
      log_online: `[B, A]`.
    """
    legal = log_target > _ILLEGAL
    difference = jnp.where(legal, log_target, 0.0) - jnp.where(legal, log_online, 0.0)
    return jnp.sum(jnp.where(legal, jnp.exp(log_target), 0.0) * difference, axis=-1, keepdims=True)


def gaussian_kls(target: Gaussian, online: Gaussian, per_dimension: bool) -> tuple[jax.Array, jax.Array]:
    """KL in nats from the target to the online policy, decoupled (section 4.2.1).

    Returns:
      `[B, D]` with the online mean and the target's deviation, and `[B, D]` with the target's mean and the
      online deviation; `D` is `A`, or 1 for their sums.
    """
    of_mean = 0.5 * jnp.square((target.mean - online.mean) / target.deviation)
    # Bounds are near what float32 resolves of 1: nothing here subtracts numbers near 1.
    double = 2.0 * jnp.log1p((target.deviation - online.deviation) / online.deviation)
    of_deviation = 0.5 * (jnp.expm1(double) - double)
    if per_dimension:
        return of_mean, of_deviation
    return of_mean.sum(axis=-1, keepdims=True), of_deviation.sum(axis=-1, keepdims=True)


def gaussian_log_prob(distribution: Gaussian, action: jax.Array) -> jax.Array:
    """`[N, B]`, log densities of actions `[N, B, A]`."""
    mean, deviation = distribution
    squares = jnp.square((action - mean) / deviation)
    return -jnp.sum(0.5 * squares + jnp.log(deviation) + 0.5 * math.log(2.0 * math.pi), axis=-1)


def constraint_loss(
    kl: jax.Array, alpha: jax.Array, epsilon: float, share: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """A constraint of the M-step as its Lagrangian relaxation (section 4.2).

    Args:
      kl: `[B, D]`, in nats.
      alpha: `[B, D]`, its multipliers.
      epsilon: bound of each of the `D`.

    Returns:
      `[]`, what the policy pays, with a gradient in `kl` alone; and `[]`, the multipliers' loss, with a
      gradient in `alpha` alone: they grow where `kl` is above its bound.
    """
    counts = share[:, None]
    penalty = jnp.sum(counts * jax.lax.stop_gradient(alpha) * kl)
    return penalty, jnp.sum(counts * alpha * (epsilon - jax.lax.stop_gradient(kl)))


def top_weights(
    advantage: jax.Array,
    temperature: jax.Array,
    share: jax.Array,
    top_fraction: float,
    member: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """V-MPO's E-step: weights of decisions by their advantages, the best of them alone (equations 4 and 5).

    A decision is chosen if those better than it have less than `top_fraction` of all shares: half of four
    even ones are two, half of five are three, and those as good as the last one chosen are chosen too. With
    shares that are not even, weights are in proportion to `share * exp(advantage / temperature)`.

    With a temperature for each member, a member has a constraint of its own, and its decisions are a batch of
    its own: chosen and normalised among themselves, with as much weight in all as the member has shares. So
    advantages of different members, whose values differ in scale and accuracy, are not compared.

    Args:
      advantage: `[B]`, no gradient reaches it; may be anything where the share is 0, NaN included.
      temperature: `[B]`; the same for all decisions, or for all of a member.
      share: `[B]`; a batch of which nothing counts has no weights.
      top_fraction: above 0, at most 1.
      member: `[B]` int32, whose decision it is; None: one batch of all.

    Returns:
      weights `[B]` without gradient, which sum to 1; and `log mean(exp(advantage / temperature))` over those
      chosen, with a gradient in the temperature alone: `[]`, or `[B]` of each decision's member.
    """
    counts = share > 0
    advantage = jax.lax.stop_gradient(jnp.where(counts, advantage, -jnp.inf))
    whose = jnp.zeros(len(share), jnp.int32) if member is None else member
    group, chosen = _choose(advantage, share, top_fraction, whose)
    chosen &= counts

    def sums(of: jax.Array) -> jax.Array:
        """`[B]`, over each decision's group."""
        return jax.ops.segment_sum(of, group, num_segments=len(share))[group]

    scaled = jnp.where(chosen, advantage, 0.0) / temperature
    best = jax.ops.segment_max(jnp.where(chosen, scaled, -jnp.inf), group, num_segments=len(share))[group]
    best = jax.lax.stop_gradient(jnp.where(jnp.isfinite(best), best, 0.0))
    portion = jnp.where(chosen, share, 0.0) * jnp.exp(jnp.where(chosen, scaled - best, 0.0))
    total, mass = sums(portion), sums(jnp.where(chosen, share, 0.0))
    some = mass > 0
    total, mass = jnp.where(some, total, 1.0), jnp.where(some, mass, 1.0)
    log_normaliser = jnp.log(total / mass) + best
    weights = jax.lax.stop_gradient(sums(share) * portion / total)
    return weights, log_normaliser[0] if member is None else log_normaliser


def _choose(
    advantage: jax.Array, share: jax.Array, top_fraction: float, member: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """`[B]` int32, members numbered from 0; and `[B]` bool, which are the best of their member.

    One sort and running sums, so that large batches cost little.
    """
    order = jnp.lexsort((-advantage, member))
    advantage, member, share = advantage[order], member[order], share[order]
    first = jnp.ones(1, bool)
    new_member = jnp.concatenate([first, member[1:] != member[:-1]])
    new_value = new_member | jnp.concatenate([first, advantage[1:] != advantage[:-1]])
    group = jnp.cumsum(new_member) - 1
    whole = jax.ops.segment_sum(share, group, num_segments=len(share))[group]
    # Equals count from where the first of them stands.
    start = jax.lax.cummax(jnp.where(new_value, jnp.arange(len(share)), 0))
    better = (_running_sum(share, new_member) - share)[start]
    # Sums of shares are not exact: three tenths may be a little less than 0.3.
    chosen = better < (1.0 - 1e-5) * top_fraction * whole
    return jnp.zeros_like(group).at[order].set(group), jnp.zeros_like(chosen).at[order].set(chosen)


def _running_sum(numbers: jax.Array, anew: jax.Array) -> jax.Array:
    """`[B]` sums up to each, begun anew where `anew` `[B]` says so."""

    def add(before: tuple[jax.Array, jax.Array], after: tuple[jax.Array, jax.Array]) -> tuple:
        return jnp.where(after[1], after[0], before[0] + after[0]), before[1] | after[1]

    return jax.lax.associative_scan(add, (numbers, anew))[0]

"""E-step of MPO and of V-MPO: weights of actions or of decisions, and the temperature's loss.

All functions are pure. Sources: Abdolmaleki et al. 2018b (arXiv 1812.02256) unless another is named; V-MPO is
Song et al. 2019 (arXiv 1909.12238).

Dimensions: `B` decisions, `A` actions (discrete) or numbers in an action (continuous), `N` sampled actions.
A `share` `[B]` says how much each decision counts: the shares sum to 1, and decisions that do not count have
0.
"""

from __future__ import annotations

import math

import chex
import jax
import jax.numpy as jnp

from agents.conditional_mpo.base import ILLEGAL_LOG_PROB


def categorical_weights(
    log_prior: jax.Array, q: jax.Array, temperature: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Computes the E-step (equation 4) over all actions: weights as `prior * exp(q / temperature)`.

    Args:
      log_prior: `[B, A]`, normalised over legal actions; about -1e9 or lower on illegal ones.
      q: `[B, A]`, no gradient reaches it; any number, even NaN, if the action is illegal.
      temperature: `[B]`.

    Returns:
      weights `[B, A]` without gradient, exactly 0 on illegal actions, and their normaliser's logarithm `[B]`,
      `log sum(prior * exp(q / temperature))`, with a gradient in the temperature alone.
    """
    chex.assert_rank([log_prior, q, temperature], [2, 2, 1])
    chex.assert_equal_shape([log_prior, q])
    legal = log_prior > ILLEGAL_LOG_PROB
    log_prior, q = jax.lax.stop_gradient((jnp.where(legal, log_prior, 0.0), jnp.where(legal, q, 0.0)))
    best = jnp.max(jnp.where(legal, q, -jnp.inf), axis=-1, keepdims=True)
    # The best value is subtracted, so that no exponential overflows, however low the temperature is.
    exponent = log_prior + jnp.where(legal, q - best, 0.0) / temperature[:, None]
    exponent = jnp.where(legal, exponent, -jnp.inf)
    log_sum = jax.nn.logsumexp(exponent, axis=-1)
    weights = jax.nn.softmax(exponent, axis=-1)
    return jax.lax.stop_gradient(weights), log_sum + best[:, 0] / temperature


def sampled_weights(q: jax.Array, temperature: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes the E-step (equation 4) over actions sampled from the prior.

    The prior's probability is in the sampling already, so weights are proportional to `exp(q / temperature)`.

    Args:
      q: `[N, B]`, no gradient reaches it.
      temperature: `[B]`.

    Returns:
      weights `[N, B]` without gradient, which sum to 1 over the samples, and their normaliser's logarithm
      `[B]`, `log mean(exp(q / temperature))`, with a gradient in the temperature alone.
    """
    chex.assert_rank([q, temperature], [2, 1])
    exponent = jax.lax.stop_gradient(q) / temperature
    # The mean over samples estimates the expectation under the prior, hence the logarithm of their number.
    log_normaliser = jax.nn.logsumexp(exponent, axis=0) - math.log(len(q))
    return jax.lax.stop_gradient(jax.nn.softmax(exponent, axis=0)), log_normaliser


def temperature_loss(
    temperature: jax.Array, log_normaliser: jax.Array, epsilon: float, share: jax.Array
) -> jax.Array:
    """Computes the E-step's dual `[]`, which is least when the weights' KL from the prior is `epsilon` nats.

    Args:
      temperature: `[B]`.
      log_normaliser: `[B]` or `[]`, with a gradient in the temperature.
      epsilon: bound of the KL, in nats.
      share: `[B]`.
    """
    chex.assert_rank([temperature, log_normaliser, share], [1, {0, 1}, 1])
    return jnp.sum(share * temperature * (epsilon + log_normaliser))


def out_of_bounds_cost(action: jax.Array) -> jax.Array:
    """Returns minus the distance `[N, B]` of actions `[N, B, A]` from the box [-1, 1], without gradient.

    It is a second objective beside the value (Abdolmaleki et al. 2020, arXiv 2005.07513).
    """
    chex.assert_rank(action, 3)
    action = jax.lax.stop_gradient(action)
    return -jnp.linalg.norm(action - jnp.clip(action, -1.0, 1.0), axis=-1)


def top_weights(
    advantage: jax.Array,
    temperature: jax.Array,
    share: jax.Array,
    top_fraction: float,
    member: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Computes V-MPO's E-step: weights of the decisions with the best advantages (equations 4 and 5).

    A decision is chosen if the decisions that are better have less than `top_fraction` of all shares. With
    equal shares, half of four decisions are two and half of five are three. Decisions that are as good as the
    last chosen one are chosen too. Weights are proportional to `share * exp(advantage / temperature)`.

    If every member has its own temperature, it has its own constraint, and its decisions are its own batch:
    they are chosen and normalised among themselves, and their weights sum to the member's shares. So
    advantages of different members, whose values differ in scale and accuracy, are not compared.

    Args:
      advantage: `[B]`, no gradient reaches it; any number, even NaN, if the share is 0.
      temperature: `[B]`; the same for all decisions, or for all decisions of a member.
      share: `[B]`; all weights are 0 if all shares are 0.
      top_fraction: above 0, at most 1.
      member: `[B]` int32, index of the member that decided; None: all decisions are one batch.

    Returns:
      weights `[B]` without gradient, which sum to 1; and `log mean(exp(advantage / temperature))` over the
      chosen decisions, with a gradient in the temperature alone: `[]`, or `[B]`, that of each
      decision's member.
    """
    chex.assert_rank([advantage, temperature, share], 1)
    chex.assert_equal_shape([advantage, temperature, share])
    counts = share > 0
    advantage = jax.lax.stop_gradient(jnp.where(counts, advantage, -jnp.inf))
    whose = jnp.zeros(len(share), jnp.int32) if member is None else member
    group, chosen = _choose(advantage, share, top_fraction, whose)
    chosen &= counts

    def sums(of: jax.Array) -> jax.Array:
        """Returns `[B]`, the sum over each decision's group."""
        return jax.ops.segment_sum(of, group, num_segments=len(share))[group]

    scaled = jnp.where(chosen, advantage, 0.0) / temperature
    # The best exponent of a group is subtracted before the exponential and added to the logarithm again, so
    # that nothing overflows at low temperatures. Groups in which nothing counts have none.
    best = jax.ops.segment_max(jnp.where(chosen, scaled, -jnp.inf), group, num_segments=len(share))[group]
    best = jax.lax.stop_gradient(jnp.where(jnp.isfinite(best), best, 0.0))
    portion = jnp.where(chosen, share, 0.0) * jnp.exp(jnp.where(chosen, scaled - best, 0.0))
    total, mass = sums(portion), sums(jnp.where(chosen, share, 0.0))
    # Groups in which nothing counts would divide 0 by 0.
    some = mass > 0
    total, mass = jnp.where(some, total, 1.0), jnp.where(some, mass, 1.0)
    log_normaliser = jnp.log(total / mass) + best
    weights = jax.lax.stop_gradient(sums(share) * portion / total)
    return weights, log_normaliser[0] if member is None else log_normaliser


def _choose(
    advantage: jax.Array, share: jax.Array, top_fraction: float, member: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Chooses the best decisions of each member, by one sort and running sums.

    Returns:
      `[B]` int32, each decision's group (members numbered from 0 without gaps); and `[B]` bool, whether it is
      chosen.
    """
    order = jnp.lexsort((-advantage, member))
    advantage, member, share = advantage[order], member[order], share[order]
    first = jnp.ones(1, bool)
    new_member = jnp.concatenate([first, member[1:] != member[:-1]])
    new_value = new_member | jnp.concatenate([first, advantage[1:] != advantage[:-1]])
    group = jnp.cumsum(new_member) - 1
    whole = jax.ops.segment_sum(share, group, num_segments=len(share))[group]
    # Decisions with equal advantages all count from the position of the first of them.
    start = jax.lax.cummax(jnp.where(new_value, jnp.arange(len(share)), 0))
    better = (_running_sum(share, new_member) - share)[start]
    # Sums of shares have rounding errors: three tenths may be a little less than 0.3.
    chosen = better < (1.0 - 1e-5) * top_fraction * whole
    return jnp.zeros_like(group).at[order].set(group), jnp.zeros_like(chosen).at[order].set(chosen)


def _running_sum(numbers: jax.Array, anew: jax.Array) -> jax.Array:
    """Returns running sums `[B]` that restart at every row with `anew` `[B]` true."""

    def add(before: tuple[jax.Array, jax.Array], after: tuple[jax.Array, jax.Array]) -> tuple:
        return jnp.where(after[1], after[0], before[0] + after[0]), before[1] | after[1]

    return jax.lax.associative_scan(add, (numbers, anew))[0]

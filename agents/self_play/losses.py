"""Losses of PPO, MMD and NashPG over decisions with discrete actions.

All three are one sum. With the ratio r of the probabilities of the action taken, of the policy pi and of the
policy pi_old that played, advantages A, returns R and a magnet rho,

    L = - mean(min(r A, clip(r, 1 - c, 1 + c) A)) + value mean((V - R)^2) - entropy mean(H(pi))
        + kl mean(KL(pi || pi_old)) + magnet mean(KL(pi || rho)).

PPO (Schulman et al. 2017, equation 7) has the first line. MMD (Sokota et al. 2022, arXiv 2206.05825) adds
the KL from pi_old with 1 / eta, and its uniform magnet is the entropy bonus. NashPG (arXiv 2510.18183) has an
earlier policy of its own for a magnet. Entropies and KLs are exact sums over the legal actions.

Dimensions: `B` decisions, `A` actions.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from agents.networks import shares

# Keeps a minibatch of one decision finite: its standard deviation is 0.
_SMALL = 1e-8


class Played(NamedTuple):
    """Decisions and what came of them, without gradients.

    Attributes:
      legal_actions: `[B, A]` bool.
      action: `[B]` int32, the action taken.
      log_probs: `[B, A]` float32, log probabilities of the policy that played.
      taken: `[B]` float32, its log probability of the action taken.
      advantage: `[B]` float32.
      target: `[B]` float32, the return that the value learns.
      weight: `[B]` float32, 1 for decisions that count and 0 for others.
      magnet: `[B, A]` float32, log probabilities of the magnet; None if there is none.
    """

    legal_actions: jax.Array
    action: jax.Array
    log_probs: jax.Array
    taken: jax.Array
    advantage: jax.Array
    target: jax.Array
    weight: jax.Array
    magnet: jax.Array | None


class Coefficients(NamedTuple):
    """Weights of the terms, each `[]` or a number: see the fields of `SelfPlayConfig`."""

    clip: float
    value: float
    entropy: jax.Array | float
    kl: jax.Array | float
    magnet: float


class Terms(NamedTuple):
    """Terms of the loss `[]`, before they are weighted; KLs and entropy in nats."""

    policy_loss: jax.Array
    value_loss: jax.Array
    entropy: jax.Array
    kl: jax.Array
    magnet_kl: jax.Array


def total(
    log_probs: jax.Array, value: jax.Array, played: Played, by: Coefficients
) -> tuple[jax.Array, Terms]:
    """Returns the loss `[]` and its terms.

    Args:
      log_probs: `[B, A]`, log probabilities of the policy that learns, normalised over legal actions.
      value: `[B]`, its values.
      played: the decisions; advantages are used as they are.
      by: weights of the terms.
    """
    chex.assert_rank([log_probs, value], [2, 1])
    chex.assert_equal_shape([log_probs, played.log_probs, played.legal_actions])
    chex.assert_equal_shape(
        [value, played.action, played.taken, played.advantage, played.target, played.weight]
    )
    share = shares(played.weight)
    magnet_kl = jnp.float32(0)
    if played.magnet is not None:
        magnet_kl = jnp.sum(share * kl(log_probs, played.magnet, played.legal_actions))
    terms = Terms(
        policy_loss=-jnp.sum(share * clipped_objective(log_probs, played, by.clip)),
        value_loss=jnp.sum(share * (value - played.target) ** 2),
        entropy=jnp.sum(share * entropy(log_probs, played.legal_actions)),
        kl=jnp.sum(share * kl(log_probs, played.log_probs, played.legal_actions)),
        magnet_kl=magnet_kl,
    )
    loss = terms.policy_loss + by.value * terms.value_loss - by.entropy * terms.entropy
    return loss + by.kl * terms.kl + by.magnet * terms.magnet_kl, terms


def clipped_objective(log_probs: jax.Array, played: Played, clip: float) -> jax.Array:
    """Returns `[B]`, PPO's clipped objective of each decision, which is to be maximised."""
    ratio = jnp.exp(take_actions(log_probs, played.action) - played.taken)
    clipped = jnp.clip(ratio, 1 - clip, 1 + clip)
    return jnp.minimum(ratio * played.advantage, clipped * played.advantage)


def take_actions(log_probs: jax.Array, action: jax.Array) -> jax.Array:
    """Returns `[B]`, the log probabilities of the actions `[B]`."""
    chex.assert_rank([log_probs, action], [2, 1])
    return jnp.take_along_axis(log_probs, action[:, None], axis=1)[:, 0]


def entropy(log_probs: jax.Array, legal_actions: jax.Array) -> jax.Array:
    """Returns `[B]`, entropies over legal actions."""
    chex.assert_equal_shape([log_probs, legal_actions])
    return -jnp.sum(jnp.where(legal_actions, jnp.exp(log_probs) * log_probs, 0.0), axis=1)


def kl(log_probs: jax.Array, other: jax.Array, legal_actions: jax.Array) -> jax.Array:
    """Returns `[B]`, KL(pi || other) over legal actions, where `log_probs` are those of pi."""
    chex.assert_equal_shape([log_probs, other, legal_actions])
    return jnp.sum(jnp.where(legal_actions, jnp.exp(log_probs) * (log_probs - other), 0.0), axis=1)


def normalise(advantage: jax.Array, weight: jax.Array) -> jax.Array:
    """Returns `[B]`, advantages with weighted mean 0 and standard deviation 1; 0 for a single decision."""
    chex.assert_equal_shape([advantage, weight])
    share = shares(weight)
    centred = advantage - jnp.sum(share * advantage)
    deviation = jnp.sqrt(jnp.sum(share * centred**2))
    return jnp.where(weight > 0, centred / (deviation + _SMALL), 0.0)

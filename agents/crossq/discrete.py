"""CrossQ with discrete actions: expectations over legal actions are exact sums, and nothing is sampled.

Dimensions: `B` decisions, `U` observations, `A` actions, `E` critics.
"""

from __future__ import annotations

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp

from agents.actions import DiscreteActing, discrete_acting
from agents.core import Key, Observation, Transition
from agents.crossq.base import (
    Actions,
    CriticExtra,
    Fitted,
    Model,
    PolicyExtra,
    reduce_critics,
    squared_error,
)
from agents.crossq.networks import apply_critics
from agents.networks import masked_log_probs, row_weights, shares


def critic_loss(
    params: Any,
    stats: Any,
    log_probs: jax.Array,
    temperature: jax.Array,
    transition: Transition,
    model: Model,
) -> tuple[jax.Array, CriticExtra]:
    """Computes the squared temporal difference of the joint pass, summed over critics.

    States and next states go through the critics as one batch in training mode (Bhatt et al. 2024, section
    3.1), so one set of batch statistics normalises both. In two passes, each half would be normalised by its
    own statistics. The joint pass is the reason that no target network is needed.

    Args:
      params: parameters of all critics, stacked along an axis `[E]`.
      stats: running statistics of all critics, stacked likewise.
      log_probs: `[U, A]`, log probabilities of the policy in evaluation mode.
      temperature: `[]`, weight of the policy's entropy in the targets.
      transition: the batch of decisions.
      model: networks and configuration.

    Returns:
      The loss `[]` and the auxiliary output.
    """
    batch, (networks, config) = transition, model
    chex.assert_equal_shape([log_probs, batch.observation.legal_actions])
    chex.assert_equal_shape([batch.now, batch.then, batch.action, batch.weight])
    chex.assert_rank([log_probs, batch.weight, temperature], [2, 1, 0])

    # An observation behind the end of an episode is padding and would distort the batch statistics.
    continuing = batch.weight * (batch.discount > 0)
    joint_weight = row_weights(batch, batch.now, batch.weight) + row_weights(batch, batch.then, continuing)
    q, stats = apply_critics(networks.critic, params, stats, batch.observation, joint_weight, True)
    chex.assert_shape(q, (config.num_critics, *log_probs.shape))

    # All critics share one target, so their minimum or mean is taken before the expectation over actions.
    value = reduce_critics(q, config)
    if config.critic_entropy:
        value -= temperature * log_probs
    # Illegal actions have probability 0 and a finite log probability of about -1e9, so they add exactly 0.
    value = jnp.sum(jnp.exp(log_probs) * value, axis=-1)
    taken = q[:, batch.now, batch.action]
    loss = squared_error(taken, value[batch.then], batch, config)
    return loss, CriticExtra(stats, jnp.sum(shares(batch.weight) * taken.mean(axis=0)))


def policy_loss(
    params: Any,
    stats: Any,
    q: jax.Array,
    temperature: jax.Array,
    key: Key,
    transition: Transition,
    model: Model,
) -> tuple[jax.Array, PolicyExtra]:
    """Computes the expected `temperature * log pi - Q` over legal actions (Christodoulou 2019, equation 12).

    The mean is over decisions: an observation counts once for each decision made at it.

    Args:
      params: parameters of the policy.
      stats: running statistics of the policy.
      q: `[U, A]`, values from the critics in evaluation mode. No gradient flows into them.
      temperature: `[]`, weight of the policy's entropy.
      key: not used, since nothing is sampled.
      transition: the batch of decisions.
      model: networks and configuration.

    Returns:
      The loss `[]` and the auxiliary output.
    """
    del key
    observation = transition.observation
    chex.assert_equal_shape([q, observation.legal_actions])
    chex.assert_rank([q, temperature], [2, 0])

    # Each distinct observation passes through the network once; its weight stands for its decisions.
    weight = row_weights(transition, transition.now, transition.weight)
    logits, stats = model.networks.policy.apply(params, stats, observation, weight, True)
    chex.assert_equal_shape([logits, q])
    log_probs = masked_log_probs(logits, observation.legal_actions)
    probs = jnp.exp(log_probs)
    share = shares(weight)
    entropy = -jnp.sum(share * jnp.sum(probs * log_probs, axis=-1))
    value = jnp.sum(share * jnp.sum(probs * jax.lax.stop_gradient(q), axis=-1))

    # The target is relative to the largest possible entropy, because observations differ in their number of
    # legal actions. At the end of a game there are none, and the logarithm of 0 would be minus infinity.
    largest = jnp.log(jnp.maximum(observation.legal_actions.sum(axis=-1), 1))
    target = model.config.target_entropy * jnp.sum(share * largest)
    return -temperature * entropy - value, PolicyExtra(stats, entropy, target)


def log_probs(model: Model, policy: Fitted, observation: Observation) -> jax.Array:
    """Returns log probabilities `[U, A]` of the policy in evaluation mode; about -1e9 on illegal actions."""
    logits, _ = model.networks.policy.apply(*policy, observation, _unit_weights(observation), False)
    return masked_log_probs(logits, observation.legal_actions)


def _following(model: Model, policy: Fitted, key: Key, transition: Transition) -> jax.Array:
    """Returns the policy's log probabilities `[U, A]` at all observations of the batch."""
    del key
    # At all of them, because one row may follow many decisions; the loss picks the rows that it needs.
    return log_probs(model, policy, transition.observation)


def _evaluate(model: Model, critics: Fitted, transition: Transition) -> jax.Array:
    """Returns action values `[U, A]` from the critics in evaluation mode."""
    # All values are computed before the policy's loss, so its gradient does not have to pass the critics.
    observation = transition.observation
    q, _ = apply_critics(model.networks.critic, *critics, observation, _unit_weights(observation), False)
    return reduce_critics(q, model.config)


def _unit_weights(observation: Observation) -> jax.Array:
    """Returns weights `[U]` of 1, which evaluation mode ignores."""
    return jnp.ones(observation.info_state.shape[0])


ACTIONS = Actions(_following, critic_loss, _evaluate, policy_loss)


def acting(model: Model) -> DiscreteActing:
    """Returns the functions by which the policy acts, in evaluation mode."""
    return discrete_acting(functools.partial(log_probs, model), model.config.exploration)

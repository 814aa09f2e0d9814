"""CrossQ with discrete actions, expectations over legal actions taken exactly.

Dimensions: `B` decisions, `U` observations, `A` actions, `E` critics.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from agents import actions
from agents.core import Key, Observation, Transition
from agents.crossq.losses import (
    Actions,
    CriticExtra,
    Fitted,
    PolicyExtra,
    Setting,
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
    setting: Setting,
) -> tuple[jax.Array, CriticExtra]:
    """Squared temporal difference of the joint pass (Bhatt et al. 2024, section 3.1), summed over critics.

    States and next states go through the critic as one batch in training mode, so that one set of batch
    statistics normalises both; with two passes each would be normalised by its own. That is what lets the
    target network go.

    Args:
      log_probs: `[U, A]` of the policy in evaluation mode.
    """
    batch, (networks, config) = transition, setting
    # What stands behind the end of an episode is padding and would drag the statistics along.
    goes_on = batch.weight * (batch.discount > 0)
    joint_weight = row_weights(batch, batch.now, batch.weight) + row_weights(batch, batch.then, goes_on)
    q, stats = apply_critics(networks.critic, params, stats, batch.observation, joint_weight, True)
    value = reduce_critics(q, config)
    if config.critic_entropy:
        value -= temperature * log_probs
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
    setting: Setting,
) -> tuple[jax.Array, PolicyExtra]:
    """Expected `temperature * log pi - Q` over legal actions (Christodoulou 2019, equation 12).

    The expectation is over the observations at decisions, each as often as it was decided at.

    Args:
      q: `[U, A]` of the critics in evaluation mode; no gradient flows into it.
    """
    del key
    observation = transition.observation
    weight = row_weights(transition, transition.now, transition.weight)
    logits, stats = setting.networks.policy.apply(params, stats, observation, weight, True)
    log_probs = masked_log_probs(logits, observation.legal_actions)
    probs = jnp.exp(log_probs)
    share = shares(weight)
    entropy = -jnp.sum(share * jnp.sum(probs * log_probs, axis=-1))
    value = jnp.sum(share * jnp.sum(probs * jax.lax.stop_gradient(q), axis=-1))
    most = jnp.log(jnp.maximum(observation.legal_actions.sum(axis=-1), 1))
    target = setting.config.target_entropy * jnp.sum(share * most)
    return -temperature * entropy - value, PolicyExtra(stats, entropy, target)


def log_probs(setting: Setting, policy: Fitted, observation: Observation) -> jax.Array:
    """`[U, A]` log probabilities of the policy in evaluation mode."""
    logits, _ = setting.networks.policy.apply(*policy, observation, _evenly(observation), False)
    return masked_log_probs(logits, observation.legal_actions)


def _following(setting: Setting, policy: Fitted, key: Key, transition: Transition) -> jax.Array:
    del key
    return log_probs(setting, policy, transition.observation)


def _evaluate(setting: Setting, critics: Fitted, transition: Transition) -> jax.Array:
    observation = transition.observation
    q, _ = apply_critics(setting.networks.critic, *critics, observation, _evenly(observation), False)
    return reduce_critics(q, setting.config)


def _evenly(observation: Observation) -> jax.Array:
    return jnp.ones(observation.info_state.shape[0])


ACTIONS = Actions(_following, critic_loss, _evaluate, policy_loss)


def behaviour(setting: Setting, policy: Fitted, observation: Observation) -> jax.Array:
    """`[B, A]` probabilities of acting while learning."""
    legal, share = observation.legal_actions, setting.config.exploration
    return actions.mix_uniform(probs(setting, policy, observation), legal, share)


def act(setting: Setting, policy: Fitted, key: Key, observation: Observation) -> jax.Array:
    """`[B]` actions drawn from `behaviour`."""
    return actions.draw(key, behaviour(setting, policy, observation))


def perform(setting: Setting, policy: Fitted, key: Key, observation: Observation) -> jax.Array:
    """`[B]` actions drawn from `probs`."""
    return actions.draw(key, probs(setting, policy, observation))


def probs(setting: Setting, policy: Fitted, observation: Observation) -> jax.Array:
    """`[B, A]`, exactly 0 on illegal actions."""
    return actions.legal_probs(log_probs(setting, policy, observation), observation.legal_actions)

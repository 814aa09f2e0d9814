"""CrossQ with continuous actions: the published algorithm.

The policy is a normal distribution, squashed by tanh into [-1, 1] and stretched to the actions' bounds.
Critics and entropies use the squashed action, not the stretched one.

Dimensions: `B` decisions, `U` observations, `A` numbers in an action, `E` critics.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from agents.actions import explore, squash, stretch
from agents.core import Bounds, Key, Transition
from agents.crossq.base import (
    Actions,
    CriticExtra,
    Fitted,
    PolicyExtra,
    Setting,
    reduce_critics,
    squared_error,
)
from agents.crossq.networks import apply_critics
from agents.networks import shares

# Bounds of the log standard deviation, as in the authors' code. Outside of them the density over- or
# underflows.
_LOG_DEVIATION_BOUNDS = (-20.0, 2.0)


class Sample(NamedTuple):
    """Squashed actions `[B, A]` and the logarithms `[B]` of their densities."""

    action: jax.Array
    log_prob: jax.Array


def critic_loss(
    params: Any,
    stats: Any,
    following: Sample,
    temperature: jax.Array,
    transition: Transition,
    setting: Setting,
) -> tuple[jax.Array, CriticExtra]:
    """Computes the squared temporal difference of the joint pass, summed over critics.

    States and next states, with their actions, go through the critics as one batch in training mode (Bhatt
    et al. 2024, section 3.1), so one set of batch statistics normalises both. In two passes, each half would
    be normalised by its own statistics.

    Args:
      params: parameters of all critics, stacked along an axis `[E]`.
      stats: running statistics of all critics, stacked likewise.
      following: the policy's actions at the next observations.
      temperature: `[]`, weight of the policy's entropy in the targets.
      transition: the batch of decisions.
      setting: networks and configuration.

    Returns:
      The loss `[]` and the auxiliary output.
    """
    batch, (networks, config) = transition, setting
    bounds = _bounds(setting)
    chex.assert_equal_shape([batch.action, following.action])
    chex.assert_equal_shape([batch.now, batch.then, batch.weight, following.log_prob])
    chex.assert_rank([batch.action, batch.weight, temperature], [2, 1, 0])

    # Rows [0, B) are the decisions and rows [B, 2 B) what follows them.
    now, then = _take(batch.observation, batch.now), _take(batch.observation, batch.then)
    action = jnp.concatenate([squash(batch.action, bounds), following.action])
    inputs = (jax.tree.map(lambda *rows: jnp.concatenate(rows), now, then), action)
    weight = jnp.concatenate([batch.weight, batch.weight])
    q, stats = apply_critics(networks.critic, params, stats, inputs, weight, True)
    taken, value = jnp.split(q[..., 0], 2, axis=1)
    # All critics share one target.
    value = reduce_critics(value, config)
    if config.critic_entropy:
        value -= temperature * following.log_prob
    loss = squared_error(taken, value, batch, config)
    return loss, CriticExtra(stats, jnp.sum(shares(batch.weight) * taken.mean(axis=0)))


def policy_loss(
    params: Any,
    stats: Any,
    critics: Fitted,
    temperature: jax.Array,
    key: Key,
    transition: Transition,
    setting: Setting,
) -> tuple[jax.Array, PolicyExtra]:
    """Computes the mean `temperature * log pi - Q` of sampled actions (Haarnoja et al. 2018b, equation 9).

    The policy is in training mode and the critics are in evaluation mode. The gradient reaches the policy
    through the actions (reparametrisation).

    Args:
      params: parameters of the policy.
      stats: running statistics of the policy.
      critics: parameters and statistics of all critics.
      temperature: `[]`, weight of the policy's entropy.
      key: random key of the actions.
      transition: the batch of decisions.
      setting: networks and configuration.

    Returns:
      The loss `[]` and the auxiliary output.
    """
    networks, config = setting
    chex.assert_equal_shape([transition.now, transition.weight])
    chex.assert_rank([transition.weight, temperature], [1, 0])
    observation = _take(transition.observation, transition.now)
    weight = transition.weight
    output, stats = networks.policy.apply(params, stats, observation, weight, True)
    action, log_prob = sample(key, output)
    q, _ = apply_critics(networks.critic, *critics, (observation, action), weight, False)
    share = shares(weight)
    entropy = -jnp.sum(share * log_prob)
    value = jnp.sum(share * reduce_critics(q[..., 0], config))
    # The configuration's target counts for each number of an action, the policy's entropy for all of them.
    target = jnp.float32(config.target_entropy * action.shape[-1])
    return -temperature * entropy - value, PolicyExtra(stats, entropy, target)


def sample(key: Key, output: jax.Array) -> Sample:
    """Draws squashed actions, with a gradient in the output of the policy's network.

    Args:
      key: random key.
      output: `[B, 2 A]`, means and then log standard deviations of the unsquashed actions.
    """
    chex.assert_rank(output, 2)
    mean, log_deviation = jnp.split(output, 2, axis=-1)
    log_deviation = jnp.clip(log_deviation, *_LOG_DEVIATION_BOUNDS)
    noise = jax.random.normal(key, mean.shape)
    unsquashed = mean + jnp.exp(log_deviation) * noise
    log_density = -0.5 * jnp.square(noise) - log_deviation - 0.5 * jnp.log(2 * jnp.pi)
    # The logarithm of tanh's derivative, in a form that stays finite when tanh rounds to 1 in float32.
    log_slope = 2 * (jnp.log(2.0) - unsquashed - jax.nn.softplus(-2 * unsquashed))
    return Sample(jnp.tanh(unsquashed), jnp.sum(log_density - log_slope, axis=-1))


def _bounds(setting: Setting) -> Bounds:
    """Returns the bounds of the actions."""
    bounds = setting.networks.bounds
    assert bounds is not None, "networks for discrete actions"
    return bounds


def _take(observation: Any, index: jax.Array) -> Any:
    """Returns the rows `index` `[B]` of observations `[U, ..]`."""
    return jax.tree.map(lambda leaf: leaf[index], observation)


def _output(setting: Setting, policy: Fitted, observation: Any) -> jax.Array:
    """Returns the output `[B, 2 A]` of the policy's network in evaluation mode, which ignores weights."""
    weight = jnp.ones(jax.tree.leaves(observation)[0].shape[0])
    output, _ = setting.networks.policy.apply(*policy, observation, weight, False)
    return output


def _following(setting: Setting, policy: Fitted, key: Key, transition: Transition) -> Sample:
    """Draws actions at the next observations from the policy in evaluation mode."""
    return sample(key, _output(setting, policy, _take(transition.observation, transition.then)))


def _evaluate(setting: Setting, critics: Fitted, transition: Transition) -> Fitted:
    """Returns the critics unchanged: the policy's loss evaluates them at actions that it draws itself."""
    del setting, transition
    return critics


ACTIONS = Actions(_following, critic_loss, _evaluate, policy_loss)


def act(setting: Setting, policy: Fitted, key: Key, observation: Any) -> jax.Array:
    """Draws actions `[B, A]` from the policy, or uniform ones with the probability of exploration."""
    sample_key, explore_key = jax.random.split(key)
    action = sample(sample_key, _output(setting, policy, observation)).action
    action = explore(explore_key, action, setting.config.exploration)
    return stretch(action, _bounds(setting))


def perform(setting: Setting, policy: Fitted, key: Key, observation: Any) -> jax.Array:
    """Returns actions `[B, A]` at the squashed means, whatever the key."""
    del key
    mean, _ = jnp.split(_output(setting, policy, observation), 2, axis=-1)
    return stretch(jnp.tanh(mean), _bounds(setting))

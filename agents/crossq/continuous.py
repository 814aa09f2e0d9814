"""CrossQ with continuous actions: the published algorithm.

The policy is a normal distribution squashed by tanh into [-1, 1] and stretched to the actions' bounds.
Critics and entropies know the squashed action alone.

Dimensions: `B` decisions, `A` numbers in an action, `E` critics.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.actions import explore, squash, stretch
from agents.core import Bounds, Key, Transition
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
from agents.networks import shares

_LOG_DEVIATION = (-20.0, 2.0)


class Sample(NamedTuple):
    """Squashed actions `[B, A]` and the logarithm of their density `[B]`."""

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
    """Squared temporal difference of the joint pass (Bhatt et al. 2024, section 3.1), summed over critics.

    The actions taken and those that follow go through the critic as one batch in training mode: with two
    passes each would be normalised by statistics that the other never entered.

    Args:
      following: the policy's actions at the next observations.
    """
    batch, (networks, config) = transition, setting
    bounds = _bounds(setting)
    now, then = _rows(batch.observation, batch.now), _rows(batch.observation, batch.then)
    action = jnp.concatenate([squash(batch.action, bounds), following.action])
    inputs = (jax.tree.map(lambda *rows: jnp.concatenate(rows), now, then), action)
    weight = jnp.concatenate([batch.weight, batch.weight])
    q, stats = apply_critics(networks.critic, params, stats, inputs, weight, True)
    taken, value = jnp.split(q[..., 0], 2, axis=1)
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
    """Mean of `temperature * log pi - Q` at actions of the policy (Haarnoja et al. 2018b, equation 9).

    The policy is in training mode, the critics in evaluation mode.
    """
    networks, config = setting
    observation = _rows(transition.observation, transition.now)
    weight = transition.weight
    output, stats = networks.policy.apply(params, stats, observation, weight, True)
    action, log_prob = sample(key, output)
    q, _ = apply_critics(networks.critic, *critics, (observation, action), weight, False)
    share = shares(weight)
    entropy = -jnp.sum(share * log_prob)
    value = jnp.sum(share * reduce_critics(q[..., 0], config))
    target = jnp.float32(config.target_entropy * action.shape[-1])
    return -temperature * entropy - value, PolicyExtra(stats, entropy, target)


def sample(key: Key, output: jax.Array) -> Sample:
    """Draws squashed actions, with gradient, from what the policy's network gave `[B, 2 A]`.

    The logarithm of tanh's derivative is taken in a form that is finite wherever tanh rounds to one.
    """
    mean, log_deviation = jnp.split(output, 2, axis=-1)
    log_deviation = jnp.clip(log_deviation, *_LOG_DEVIATION)
    noise = jax.random.normal(key, mean.shape)
    unsquashed = mean + jnp.exp(log_deviation) * noise
    log_density = -0.5 * jnp.square(noise) - log_deviation - 0.5 * jnp.log(2 * jnp.pi)
    log_slope = 2 * (jnp.log(2.0) - unsquashed - jax.nn.softplus(-2 * unsquashed))
    return Sample(jnp.tanh(unsquashed), jnp.sum(log_density - log_slope, axis=-1))


def _bounds(setting: Setting) -> Bounds:
    bounds = setting.networks.bounds
    assert bounds is not None, "networks for discrete actions"
    return bounds


def _rows(observation: Any, rows: jax.Array) -> Any:
    return jax.tree.map(lambda leaf: leaf[rows], observation)


def _output(setting: Setting, policy: Fitted, observation: Any) -> jax.Array:
    evenly = jnp.ones(jax.tree.leaves(observation)[0].shape[0])
    output, _ = setting.networks.policy.apply(*policy, observation, evenly, False)
    return output


def _following(setting: Setting, policy: Fitted, key: Key, transition: Transition) -> Sample:
    return sample(key, _output(setting, policy, _rows(transition.observation, transition.then)))


def _evaluate(setting: Setting, critics: Fitted, transition: Transition) -> Fitted:
    del setting, transition
    return critics


ACTIONS = Actions(_following, critic_loss, _evaluate, policy_loss)


def act(setting: Setting, policy: Fitted, key: Key, observation: Any) -> jax.Array:
    """`[B, A]` actions drawn from the policy, or uniform ones with the probability of exploring."""
    sample_key, explore_key = jax.random.split(key)
    action = sample(sample_key, _output(setting, policy, observation)).action
    action = explore(explore_key, action, setting.config.exploration)
    return stretch(action, _bounds(setting))


def perform(setting: Setting, policy: Fitted, key: Key, observation: Any) -> jax.Array:
    """`[B, A]`, the squashed mean: the same at every call."""
    del key
    mean, _ = jnp.split(_output(setting, policy, observation), 2, axis=-1)
    return stretch(jnp.tanh(mean), _bounds(setting))

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
    Model,
    PolicyExtra,
    reduce_critics,
    squared_error,
)
from agents.crossq.networks import apply_critics
from agents.networks import shares, take_rows

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
    model: Model,
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
      model: networks and configuration.

    Returns:
      The loss `[]` and the auxiliary output.
    """
    batch, (networks, config) = transition, model
    bounds = _bounds(model)
    chex.assert_equal_shape([batch.action, following.action])
    chex.assert_equal_shape([batch.now, batch.then, batch.weight, following.log_prob])
    chex.assert_rank([batch.action, batch.weight, temperature], [2, 1, 0])

    # Rows [0, B) are the decisions and rows [B, 2 B) what follows them. The last observation of an episode is
    # a real one in control, so it counts in the batch statistics, as in the authors' code.
    now, then = take_rows(batch.observation, batch.now), take_rows(batch.observation, batch.then)
    action = jnp.concatenate([squash(batch.action, bounds), following.action])
    inputs = (jax.tree.map(lambda *rows: jnp.concatenate(rows), now, then), action)
    weight = jnp.concatenate([batch.weight, batch.weight])
    q, stats = apply_critics(networks.critic, params, stats, inputs, weight, True)
    taken, value = jnp.split(q[..., 0], 2, axis=1)
    # All critics share one target: the minimum is that of clipped double Q-learning (Fujimoto et al. 2018,
    # section 4.2), and the entropy's term makes it a soft value (Haarnoja et al. 2018b, equation 3).
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
    model: Model,
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
      model: networks and configuration.

    Returns:
      The loss `[]` and the auxiliary output.
    """
    networks, config = model
    chex.assert_equal_shape([transition.now, transition.weight])
    chex.assert_rank([transition.weight, temperature], [1, 0])
    observation = take_rows(transition.observation, transition.now)
    weight = transition.weight
    output, stats = networks.policy.apply(params, stats, observation, weight, True)
    action, log_prob = sample(key, output)
    # In evaluation mode, the value of an action does not depend on the other actions of the batch, and the
    # critics' statistics do not change.
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
    # Reparametrisation: the noise does not depend on the parameters, so gradients flow through the action.
    unsquashed = mean + jnp.exp(log_deviation) * noise
    log_density = -0.5 * jnp.square(noise) - log_deviation - 0.5 * jnp.log(2 * jnp.pi)
    # The density of the squashed action is divided by the slope of tanh (Haarnoja et al. 2018b, appendix C).
    # The slope's logarithm, log(1 - tanh^2), is in a form that stays finite when tanh rounds to 1 in float32.
    log_slope = 2 * (jnp.log(2.0) - unsquashed - jax.nn.softplus(-2 * unsquashed))
    return Sample(jnp.tanh(unsquashed), jnp.sum(log_density - log_slope, axis=-1))


def _bounds(model: Model) -> Bounds:
    """Returns the bounds of the actions."""
    bounds = model.networks.bounds
    assert bounds is not None, "networks for discrete actions"
    return bounds


def _output(model: Model, policy: Fitted, observation: Any) -> jax.Array:
    """Returns the output `[B, 2 A]` of the policy's network in evaluation mode, which ignores weights."""
    weight = jnp.ones(jax.tree.leaves(observation)[0].shape[0])
    output, _ = model.networks.policy.apply(*policy, observation, weight, False)
    return output


def _following(model: Model, policy: Fitted, key: Key, transition: Transition) -> Sample:
    """Draws actions at the next observations from the policy in evaluation mode."""
    return sample(key, _output(model, policy, take_rows(transition.observation, transition.then)))


def _evaluate(model: Model, critics: Fitted, transition: Transition) -> Fitted:
    """Returns the critics unchanged: the policy's loss evaluates them at actions that it draws itself."""
    del model, transition
    return critics


ACTIONS = Actions(_following, critic_loss, _evaluate, policy_loss)


def act(model: Model, policy: Fitted, key: Key, observation: Any) -> jax.Array:
    """Draws actions `[B, A]` from the policy, or uniform ones with the probability of exploration."""
    sample_key, explore_key = jax.random.split(key)
    action = sample(sample_key, _output(model, policy, observation)).action
    # In [-1, 1], before stretching, so that exploration is uniform within the actions' bounds.
    action = explore(explore_key, action, model.config.exploration)
    return stretch(action, _bounds(model))


def perform(model: Model, policy: Fitted, key: Key, observation: Any) -> jax.Array:
    """Returns actions `[B, A]` at the squashed means, for any key."""
    del key
    # Since tanh is monotone, each number of the action is the median of its squashed distribution.
    mean, _ = jnp.split(_output(model, policy, observation), 2, axis=-1)
    return stretch(jnp.tanh(mean), _bounds(model))

"""Tests of agents.crossq.continuous: losses of linear networks, computed by hand."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from agents.core import Transition, join
from agents.crossq import Bounds, CrossQConfig, CrossQNetworks, base, continuous, networks

_CONFIG = CrossQConfig(discount=0.9, target_entropy=-0.5)


def _linear_critic(
    params: jax.Array, stats: Any, inputs: Any, weight: jax.Array, is_training: bool
) -> tuple[jax.Array, Any]:
    """Applies a critic that is linear in state and action.

    Its statistics record the weights of the last training pass. States above 100 have infinite values.
    """
    state, action = inputs
    q = params[0] * state + params[1] * action + params[2]
    return jnp.where(state > 100, jnp.inf, q), (weight if is_training else stats)


def _linear_policy(
    params: jax.Array, stats: Any, state: jax.Array, weight: jax.Array, is_training: bool
) -> tuple[jax.Array, Any]:
    """Applies a policy whose mean and log deviation are linear in the state; statistics as in the critic."""
    return state * params[0] + params[1], (weight if is_training else stats)


def _network(apply: Any) -> networks.Network:
    return networks.Network(init=lambda key: (jnp.zeros(3), jnp.zeros(2)), apply=apply)


_LINEAR = CrossQNetworks(
    _network(_linear_policy), _network(_linear_critic), Bounds(jnp.array([0.0]), jnp.array([4.0]))
)
_CRITICS = jnp.array([[1.0, 2.0, 0.0], [1.0, -1.0, 1.0]])

# In state 1, action 3 (0.5 when squashed) leads to state 2. In state 3, action 1 (-0.5) ends the episode.
_BATCH = join(
    jnp.array([[1.0], [3.0]]),
    jnp.array([[3.0], [1.0]]),
    jnp.array([0.5, -1.0]),
    jnp.array([1.0, 0.0]),
    jnp.array([[2.0], [0.0]]),
)
_FOLLOWING = continuous.Sample(jnp.array([[0.25], [1.0]]), jnp.array([-0.7, 0.3]))
# Values that both critics give to (1, 0.5) and (3, -0.5), and to (2, 0.25), which follows the first.
_TAKEN = np.array([[2.0, 2.0], [1.5, 4.5]])
_VALUES = np.array([2.5, 2.75])


@functools.partial(jax.jit, static_argnums=3)
def _critic_loss(
    params: jax.Array, batch: Transition, following: continuous.Sample, config: CrossQConfig
) -> tuple[jax.Array, base.CriticExtra]:
    model, stats = base.Model(_LINEAR, config), jnp.zeros((2, 4))
    return continuous.critic_loss(params, stats, following, jnp.float32(0.5), batch, model)


@pytest.mark.parametrize("discount", [1.0, 0.81])
@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({}, 2.5 + 0.5 * 0.7),
        ({"critic_entropy": False}, 2.5),
        ({"q_reduction": "mean"}, 2.625 + 0.5 * 0.7),
    ],
)
def test_critic_loss_by_hand(settings: dict[str, Any], value: float, discount: float) -> None:
    """The transition's discount multiplies the agent's, as environments and n-step returns need it."""
    batch = _BATCH._replace(discount=jnp.array([discount, 0.0]))
    loss, extra = _critic_loss(_CRITICS, batch, _FOLLOWING, dataclasses.replace(_CONFIG, **settings))
    target = np.array([0.5 + 0.9 * discount * value, -1.0])
    np.testing.assert_allclose(loss, 0.5 * ((_TAKEN - target) ** 2).sum() / 2, rtol=1e-6)
    np.testing.assert_allclose(extra.q, _TAKEN.mean(), rtol=1e-6)
    # Both halves went through both critics in one training pass.
    np.testing.assert_array_equal(extra.stats, np.ones((2, 4)))


def test_critic_gradient_by_hand_with_none_through_the_target() -> None:
    gradient = jax.grad(lambda params: _critic_loss(params, _BATCH, _FOLLOWING, _CONFIG)[0])(_CRITICS)
    error = _TAKEN - np.array([0.5 + 0.9 * (2.5 + 0.35), -1.0])
    inputs = np.array([[1.0, 0.5, 1.0], [3.0, -0.5, 1.0]])
    np.testing.assert_allclose(gradient, error @ inputs / 2, rtol=1e-5)
    through = jax.grad(lambda following: _critic_loss(_CRITICS, _BATCH, following, _CONFIG)[0])(_FOLLOWING)
    jax.tree.map(lambda leaf: np.testing.assert_array_equal(leaf, np.zeros(leaf.shape)), through)


@pytest.mark.parametrize("log_prob", [0.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("state", [0.0, 101.0])
def test_the_end_of_an_episode_ignores_what_is_expected_behind_it(state: float, log_prob: float) -> None:
    batch = _BATCH._replace(observation=_BATCH.observation.at[3].set(state))
    following = _FOLLOWING._replace(log_prob=jnp.array([-0.7, log_prob]))
    of_loss = jax.value_and_grad(_critic_loss, has_aux=True)
    (loss, _), gradient = of_loss(_CRITICS, batch, following, _CONFIG)
    (expected, _), expected_gradient = of_loss(_CRITICS, _BATCH, _FOLLOWING, _CONFIG)
    assert float(loss) == float(expected)
    np.testing.assert_array_equal(gradient, expected_gradient)


def test_decisions_of_weight_zero_count_for_nothing() -> None:
    batch = _BATCH._replace(reward=jnp.array([0.5, 1e6]), weight=jnp.array([1.0, 0.0]))
    loss, extra = _critic_loss(_CRITICS, batch, _FOLLOWING, _CONFIG)
    error = _TAKEN[:, 0] - (0.5 + 0.9 * 2.85)
    np.testing.assert_allclose(loss, 0.5 * (error**2).sum(), rtol=1e-6)
    np.testing.assert_allclose(extra.q, 1.75, rtol=1e-6)
    np.testing.assert_array_equal(extra.stats, [[1.0, 0.0, 1.0, 0.0]] * 2)


@pytest.mark.parametrize("reduction", ["min", "mean"])
def test_policy_loss_by_hand(reduction: str) -> None:
    """Decisions in states 1 and 3, and one of weight 0 in state 50; both sides use the same noise."""
    key, temperature = jax.random.key(4), 0.5
    model = base.Model(_LINEAR, dataclasses.replace(_CONFIG, q_reduction=reduction))
    rows = jnp.array([[3.0], [50.0], [1.0]])
    batch = Transition(rows, *(jnp.zeros(3),) * 6)._replace(
        now=jnp.array([2, 0, 1]), weight=jnp.array([1.0, 2.0, 0.0])
    )
    params = jnp.array([[0.2, -0.1], [-0.3, -1.0]])
    critics = base.Fitted(_CRITICS, jnp.zeros((2, 3)))
    given = (params, jnp.zeros(3), critics, jnp.float32(temperature), key, batch)
    loss, extra = jax.jit(functools.partial(continuous.policy_loss, model=model))(*given)
    state = np.array([1.0, 3.0])
    mean, deviation = 0.2 * state - 0.3, np.exp(-0.1 * state - 1.0)
    action = np.tanh(mean + deviation * np.asarray(jax.random.normal(key, (3, 1)))[:2, 0])
    log_prob = scipy.stats.norm.logpdf(np.arctanh(action), mean, deviation) - np.log(1 - action**2)
    q = np.stack([state + 2 * action, state - action + 1])
    q = q.min(axis=0) if reduction == "min" else q.mean(axis=0)
    share = np.array([1.0, 2.0]) / 3
    np.testing.assert_allclose(loss, share @ (temperature * log_prob - q), rtol=1e-5)
    np.testing.assert_allclose(extra.entropy, -share @ log_prob, rtol=1e-5)
    np.testing.assert_array_equal(extra.stats, [1.0, 2.0, 0.0])
    assert float(extra.target_entropy) == -0.5

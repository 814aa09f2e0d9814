"""Tests of agents.crossq.discrete: losses of networks that are tables, computed by hand."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.core import Observation, Transition
from agents.crossq import PRESETS, CrossQConfig, CrossQNetworks, base, discrete, networks

_CONFIG = dataclasses.replace(PRESETS["games"], discount=0.9)


def _look_up(
    params: Any, stats: Any, observation: Observation, weight: jax.Array, is_training: bool
) -> tuple[jax.Array, Any]:
    """Looks outputs up in a table `[states, A]`; its statistics record the weights of the training pass."""
    # A product of 0 and infinity is NaN, so infinite entries of the table are looked up apart.
    values = jnp.einsum("us,sa->ua", observation.info_state, jnp.nan_to_num(params, posinf=0.0))
    unbounded = jnp.einsum("us,sa->ua", observation.info_state, jnp.isposinf(params).astype(float))
    output = jnp.where(unbounded > 0, jnp.inf, values)
    return output, (weight if is_training else stats)


_TABLE = networks.Network(init=lambda key: (jnp.zeros((2, 2)), jnp.zeros(2)), apply=_look_up)
_TABLES = CrossQNetworks(policy=_TABLE, critic=_TABLE)
_MODEL = base.Model(_TABLES, _CONFIG)
# Discrete actions need no random numbers, so any key gives the same losses.
_KEY = jax.random.key(0)

# Values of two critics in two states with two actions. The critics' mean is [[2, 3], [4, 3]], and their
# minimum is [[1, 2], [3, 1]].
_Q = jnp.array([[[1.0, 2.0], [3.0, 5.0]], [[3.0, 4.0], [5.0, 1.0]]])
_LOG_PROBS = jnp.log(jnp.array([[0.5, 0.5], [0.25, 0.75]]))
_STATES = Observation(jnp.eye(2), jnp.ones((2, 2), bool), jnp.zeros((2, 0)))

# In state 0, action 1 pays 0.5 and leads to state 1. There, action 0 pays -1 and ends the game.
_BATCH = Transition(
    observation=_STATES,
    now=jnp.array([0, 1]),
    then=jnp.array([1, 0]),
    action=jnp.array([1, 0]),
    reward=jnp.array([0.5, -1.0]),
    discount=jnp.array([1.0, 0.0]),
    weight=jnp.ones(2),
)


@functools.partial(jax.jit, static_argnames="config")
def _critic_loss(
    q: jax.Array, batch: Transition = _BATCH, config: CrossQConfig = _CONFIG, temperature: float = 0.5
) -> tuple[jax.Array, base.CriticExtra]:
    stats = jnp.zeros((2, 2))
    model = base.Model(_TABLES, config)
    return discrete.critic_loss(q, stats, _LOG_PROBS, jnp.float32(temperature), batch, model)


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        # The value of state 1 under the policy is 0.25 * 4 + 0.75 * 3.
        ({"q_reduction": "mean"}, 3.25),
        ({"q_reduction": "min"}, 1.5),
        # The temperature times the entropy in nats is added.
        ({"q_reduction": "mean", "critic_entropy": True}, 3.25 + 0.5 * 0.5623351446),
    ],
)
def test_critic_loss_by_hand(settings: dict[str, Any], value: float) -> None:
    loss, extra = _critic_loss(_Q, config=dataclasses.replace(_CONFIG, **settings))
    target = 0.5 + 0.9 * value
    first = 0.5 * ((2 - target) ** 2 + (4 - target) ** 2)
    last = 0.5 * ((3 + 1) ** 2 + (5 + 1) ** 2)
    np.testing.assert_allclose(loss, (first + last) / 2, rtol=1e-6)
    # The actions taken have the values (2 + 4) / 2 in state 0 and (3 + 5) / 2 in state 1.
    np.testing.assert_allclose(extra.q, 3.5, rtol=1e-6)


def test_critic_gradient_by_hand_with_none_through_the_target() -> None:
    gradient = jax.grad(lambda q: _critic_loss(q)[0])(_Q)
    target = 0.5 + 0.9 * 3.25
    expected = np.zeros((2, 2, 2))
    expected[0, 0, 1], expected[1, 0, 1] = (2 - target) / 2, (4 - target) / 2
    expected[0, 1, 0], expected[1, 1, 0] = 4 / 2, 6 / 2
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("entropy", [False, True])
def test_the_end_of_a_game_ignores_what_stands_behind_it(entropy: bool) -> None:
    config = dataclasses.replace(_CONFIG, critic_entropy=entropy)
    batch = _BATCH._replace(now=jnp.array([1]), then=jnp.array([0]), action=jnp.array([0]))
    batch = batch._replace(reward=jnp.array([-1.0]), discount=jnp.zeros(1), weight=jnp.ones(1))
    unbounded = _Q.at[:, 0].set(jnp.inf)
    loss, _ = _critic_loss(unbounded, batch, config)
    assert float(loss) == 0.5 * (4**2 + 6**2)
    gradient = jax.grad(lambda q: _critic_loss(q, batch, config)[0])(unbounded)
    np.testing.assert_array_equal(gradient[:, 1], [[4.0, 0.0], [6.0, 0.0]])


def test_the_environments_discount_multiplies_the_agents() -> None:
    batch = _BATCH._replace(discount=jnp.array([0.5, 0.0]), weight=jnp.array([1.0, 0.0]))
    target = 0.5 + 0.9 * 0.5 * 3.25
    loss, _ = _critic_loss(_Q, batch)
    np.testing.assert_allclose(loss, 0.5 * ((2 - target) ** 2 + (4 - target) ** 2), rtol=1e-6)


def test_decisions_of_weight_zero_are_dropped() -> None:
    padded = jax.tree.map(lambda rows: jnp.concatenate([rows, rows]), _BATCH._replace(observation=()))
    padded = padded._replace(
        observation=_STATES,
        reward=padded.reward.at[2:].set(1e6),
        weight=jnp.array([1.0, 1.0, 0.0, 0.0]),
    )
    loss, extra = _critic_loss(_Q, padded)
    expected, expected_extra = _critic_loss(_Q)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(extra.q, expected_extra.q, rtol=1e-6)
    np.testing.assert_array_equal(extra.stats, expected_extra.stats)
    gradients = [jax.grad(lambda q, b=batch: _critic_loss(q, b)[0])(_Q) for batch in (padded, _BATCH)]
    np.testing.assert_allclose(*gradients, rtol=1e-6)


def test_a_batch_without_weight_has_no_loss() -> None:
    loss, extra = _critic_loss(_Q, _BATCH._replace(weight=jnp.zeros(2)))
    assert float(loss) == 0.0
    assert float(extra.q) == 0.0


def test_the_critics_joint_batch_weighs_states_as_often_as_they_were_seen() -> None:
    # Two decisions are made in state 0. State 1 is reached once, and one decision is made there. Ends of the
    # game reach no state.
    batch = _BATCH._replace(now=jnp.array([0, 0, 1]), then=jnp.array([1, 0, 0]))
    batch = batch._replace(action=jnp.array([1, 0, 0]), reward=jnp.zeros(3), weight=jnp.ones(3))
    _, extra = _critic_loss(_Q, batch._replace(discount=jnp.array([1.0, 0.0, 0.0])))
    np.testing.assert_array_equal(extra.stats, [[2.0, 2.0], [2.0, 2.0]])
    _, extra = _critic_loss(_Q, batch._replace(discount=jnp.array([1.0, 1.0, 0.0])))
    np.testing.assert_array_equal(extra.stats, [[3.0, 2.0], [3.0, 2.0]])


def test_policy_loss_by_hand() -> None:
    logits = jnp.log(jnp.array([[0.5, 0.5], [0.25, 0.75]]))
    q = jnp.array([[2.0, 3.0], [4.0, 3.0]])
    batch = _BATCH._replace(now=jnp.array([0, 1, 1]), weight=jnp.ones(3))

    @jax.jit
    def loss(logits: jax.Array, q: jax.Array) -> tuple[jax.Array, base.PolicyExtra]:
        return discrete.policy_loss(logits, jnp.zeros(2), q, jnp.float32(0.5), _KEY, batch, _MODEL)

    value, extra = loss(logits, q)
    entropy = (0.6931471806 + 2 * 0.5623351446) / 3
    np.testing.assert_allclose(extra.entropy, entropy, rtol=1e-6)
    np.testing.assert_allclose(value, -0.5 * entropy - (2.5 + 2 * 3.25) / 3, rtol=1e-6)
    np.testing.assert_array_equal(extra.stats, [1.0, 2.0])
    by_policy, by_q = jax.grad(lambda logits, q: loss(logits, q)[0], argnums=(0, 1))(logits, q)
    np.testing.assert_array_equal(by_q, np.zeros((2, 2)))
    # State 0 has share 1/3. With x = 0.5 log pi - Q, the gradient in a logit is pi_a * (x_a - mean of x).
    # Here pi_a is 0.5, and Q differs by 0.5 from its mean.
    np.testing.assert_allclose(by_policy[0], [0.25 / 3, -0.25 / 3], rtol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_target_entropy_is_a_share_of_that_of_all_legal_actions_alike(share: float) -> None:
    """State 0 has two legal actions and weight 3; state 1 has one legal action and weight 1."""
    legal = jnp.array([[True, True], [False, True]])
    batch = _BATCH._replace(observation=_STATES._replace(legal_actions=legal), weight=jnp.array([3.0, 1.0]))
    model = base.Model(_TABLES, dataclasses.replace(_CONFIG, target_entropy=share))
    q, temperature = jnp.zeros((2, 2)), jnp.float32(0.5)
    _, extra = discrete.policy_loss(jnp.zeros((2, 2)), jnp.zeros(2), q, temperature, _KEY, batch, model)
    np.testing.assert_allclose(extra.target_entropy, share * 0.75 * np.log(2.0), rtol=1e-6)
    # The uniform policy has the largest entropy, so it meets a share of 1.
    np.testing.assert_allclose(extra.entropy, 0.75 * np.log(2.0), rtol=1e-6)


def test_policy_loss_leaves_illegal_actions_and_rows_without_weight_alone() -> None:
    legal = jnp.array([[True, False], [True, True]])
    batch = _BATCH._replace(observation=_STATES._replace(legal_actions=legal))
    batch = batch._replace(weight=jnp.array([1.0, 0.0]))
    q = jnp.array([[2.0, 1e6], [1e6, -1e6]])

    @jax.jit
    def loss(logits: jax.Array) -> tuple[jax.Array, base.PolicyExtra]:
        return discrete.policy_loss(logits, jnp.zeros(2), q, jnp.float32(0.5), _KEY, batch, _MODEL)

    (value, extra), gradient = jax.value_and_grad(loss, has_aux=True)(jnp.zeros((2, 2)))
    assert float(value) == -2.0
    assert float(extra.entropy) == 0.0
    np.testing.assert_array_equal(gradient, np.zeros((2, 2)))

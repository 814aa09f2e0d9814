"""The self-play agent as an `AgentCore`: it learns the same from sequences as from a rollout."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from agents.core import AgentCore, Observation, Transition
from agents.self_play import PRESETS, Rollout, SelfPlayConfig, make_core, make_networks
from agents.self_play.transitions import make_agent_core

_CONFIG = dataclasses.replace(
    PRESETS["mmd_constant"], hidden_sizes=(8,), minibatches=2, epochs=2, discount=0.9, learning_rate=0.01
)


def _observation() -> Observation:
    legal = jnp.ones((6, 3), bool).at[::2, 2].set(False)
    return Observation(jax.random.normal(jax.random.key(7), (6, 4)), legal, jnp.zeros((6, 0)))


def _make(config: SelfPlayConfig = _CONFIG) -> AgentCore:
    return make_agent_core(make_networks(_observation(), 3, config), config)


def _batch() -> Transition:
    """Returns two episodes of two decisions, the second of which goes on beyond the batch."""
    return Transition(
        observation=_observation(),
        now=jnp.array([0, 1, 2, 3]),
        then=jnp.array([1, 0, 3, 4]),
        action=jnp.array([0, 2, 1, 1]),
        reward=jnp.array([0.5, -1.0, 0.0, 2.0]),
        discount=jnp.array([1.0, 0.0, 1.0, 1.0]),
        weight=jnp.ones(4),
        continues=jnp.array([True, False, True, False]),
    )


def test_probabilities_are_those_of_the_network_and_of_its_actions() -> None:
    core, observation = _make(), _observation()
    variables = core.variables(core.init(jax.random.key(0)))
    probs = core.probs(variables, observation)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, rtol=1e-6)
    assert not probs[~observation.legal_actions].any()
    np.testing.assert_array_equal(core.behaviour(variables, observation), probs)
    action = core.act(variables, jax.random.key(1), observation)
    expected = jnp.log(jnp.take_along_axis(probs, action[:, None], axis=1)[:, 0])
    np.testing.assert_allclose(core.log_prob(variables, observation, action), expected, rtol=1e-5)


def test_sequences_teach_the_same_as_a_rollout_of_one_player() -> None:
    """Both episodes end, so that nothing is bootstrapped at the end of the rows."""
    core, observation = _make(), _observation()
    batch = _batch()._replace(discount=jnp.array([1.0, 0.0, 1.0, 0.0]))
    alone = make_core(make_networks(observation, 3, _CONFIG), _CONFIG)
    state = core.init(jax.random.key(0))
    output = alone.evaluate(state.params, observation)
    rollout = Rollout(
        observation=observation,
        row=batch.now[:, None],
        player=jnp.zeros((4, 1), jnp.int32),
        action=batch.action[:, None],
        log_probs=output.log_probs[batch.now][:, None],
        value=output.value[batch.now][:, None],
        reward=batch.reward[:, None, None],
        ended=jnp.array([False, True, False, True])[:, None],
    )
    by_sequences, by_rollout = core.update(state, batch)[0], alone.update(state, rollout)[0]
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6),
        by_sequences.params,
        by_rollout.params,
    )


def test_the_recorded_probability_counts() -> None:
    """An action that was all but certain when it was taken, and is not any more, has a small ratio."""
    core = _make(dataclasses.replace(_CONFIG, normalise=False, minibatches=1, epochs=1))
    state = core.init(jax.random.key(0))
    batch = _batch()
    _, fresh = core.update(state, batch)
    _, stale = core.update(state, batch._replace(log_prob=jnp.zeros(4)))
    assert float(fresh["policy_loss"]) != pytest.approx(float(stale["policy_loss"]))


def test_rows_that_are_no_decisions_do_not_count() -> None:
    core = _make(dataclasses.replace(_CONFIG, minibatches=1, epochs=1))
    state = core.init(jax.random.key(0))
    batch = _batch()._replace(weight=jnp.array([1.0, 1.0, 0.0, 0.0]))
    other = batch._replace(reward=jnp.array([0.5, -1.0, 70.0, -70.0]), action=jnp.array([0, 2, 0, 0]))
    one, another = (core.update(state, each)[0] for each in (batch, other))
    np.testing.assert_allclose(
        ravel_pytree(one.params)[0], ravel_pytree(another.params)[0], rtol=1e-5, atol=1e-7
    )


def test_padding_makes_schedules_no_faster() -> None:
    core = _make()
    batch = _batch()._replace(weight=jnp.array([1.0, 0.0, 2.0, 1.0]))
    assert int(core.update(core.init(jax.random.key(0)), batch)[0].decisions) == 3


def test_rewards_are_scaled() -> None:
    halved = _make(dataclasses.replace(_CONFIG, reward_scale=0.5))
    state = halved.init(jax.random.key(0))
    doubled = _batch()._replace(reward=2 * _batch().reward)
    one, other = halved.update(state, doubled)[0], _make().update(state, _batch())[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), one.params, other.params)

"""Tests of agents.core: joined transitions, and the defaults of an agent's functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import core


def _observation(first: float) -> core.Observation:
    """Returns two rows of three numbers, two actions and one number of context, all of them different."""
    return core.Observation(
        info_state=first + jnp.arange(6.0).reshape(2, 3),
        legal_actions=jnp.array([[True, False], [first > 0, True]]),
        context=jnp.full((2, 1), first),
    )


def test_join_gives_every_decision_two_rows_of_its_own() -> None:
    now, then = _observation(0.0), _observation(100.0)
    action = jnp.array([1, 0])
    batch = core.join(now, action, jnp.array([0.5, -1.0]), jnp.array([1.0, 0.0]), then)
    picked_now = jax.tree.map(lambda rows: rows[batch.now], batch.observation)
    picked_then = jax.tree.map(lambda rows: rows[batch.then], batch.observation)
    jax.tree.map(np.testing.assert_array_equal, picked_now, now)
    jax.tree.map(np.testing.assert_array_equal, picked_then, then)
    assert batch.observation.info_state.shape == (4, 3)
    assert batch.observation.legal_actions.dtype == bool
    assert len({*batch.now.tolist(), *batch.then.tolist()}) == 4


def test_join_keeps_what_came_of_the_decisions_and_weighs_all_alike() -> None:
    reward, discount = jnp.array([0.5, -1.0]), jnp.array([1.0, 0.0])
    batch = core.join(_observation(0.0), jnp.array([1, 0]), reward, discount, _observation(1.0))
    np.testing.assert_array_equal(batch.action, [1, 0])
    np.testing.assert_array_equal(batch.reward, reward)
    np.testing.assert_array_equal(batch.discount, discount)
    np.testing.assert_array_equal(batch.weight, [1.0, 1.0])
    assert batch.weight.dtype == jnp.float32


def test_join_takes_any_tree_of_arrays_and_actions_of_many_numbers() -> None:
    now = {"position": jnp.arange(4.0).reshape(2, 2), "contact": jnp.array([0, 1])}
    then = jax.tree.map(lambda leaf: leaf + 10, now)
    action = jnp.array([[0.5, -0.5, 0.0], [1.0, 2.0, 3.0]])
    batch = core.join(now, action, jnp.zeros(2), jnp.ones(2), then)
    np.testing.assert_array_equal(batch.action, action)
    for index, expected in ((batch.now, now), (batch.then, then)):
        picked = jax.tree.map(lambda rows, index=index: rows[index], batch.observation)
        jax.tree.map(np.testing.assert_array_equal, picked, expected)
    assert batch.observation["contact"].dtype == now["contact"].dtype


def test_an_agent_without_probabilities_refuses_games_in_one_line() -> None:
    def unused(*arguments: object) -> jax.Array:
        raise AssertionError(arguments)

    agent = core.AgentCore(init=unused, update=unused, variables=unused, act=unused, perform=unused)
    for refuses in (agent.behaviour, agent.probs):
        with pytest.raises(ValueError, match="discrete actions") as refusal:
            refuses((), _observation(0.0))
        assert "\n" not in str(refusal.value)

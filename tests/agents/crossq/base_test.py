"""Tests of agents.crossq.base: reduction over critics, and the squared temporal difference."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.core import Transition
from agents.crossq import CrossQConfig, base

_Q = jnp.array([[[1.0, 2.0], [3.0, 5.0]], [[3.0, 4.0], [5.0, 1.0]]])


@pytest.mark.parametrize(
    ("reduction", "expected"), [("min", [[1.0, 2.0], [3.0, 1.0]]), ("mean", [[2.0, 3.0], [4.0, 3.0]])]
)
def test_critics_are_reduced_by_their_minimum_or_mean(reduction: str, expected: list[list[float]]) -> None:
    config = dataclasses.replace(CrossQConfig(), q_reduction=reduction)
    np.testing.assert_array_equal(base.reduce_critics(_Q, config), expected)


def _batch(reward: list[float], discount: list[float], weight: list[float]) -> Transition:
    rows = jnp.zeros(len(reward), int)
    numbers = (jnp.array(values) for values in (reward, discount, weight))
    return Transition((), rows, rows, rows, *numbers)


_BATCH = _batch([1.0, -2.0, 0.5], [1.0, 0.25, 0.0], [1.0, 1.0, 2.0])
_TAKEN = jnp.array([[0.0, 1.0, 2.0], [3.0, -1.0, 0.5]])
_FOLLOWING = jnp.array([2.0, 4.0, 7.0])
_TARGET = np.array([1.0 + 0.9 * 2.0, -2.0 + 0.9 * 0.25 * 4.0, 0.5])
_CONFIG = CrossQConfig(discount=0.9)
_squared_error = jax.jit(functools.partial(base.squared_error, config=_CONFIG))


def test_half_the_mean_squared_difference_is_summed_over_critics() -> None:
    share = np.array([0.25, 0.25, 0.5])
    expected = 0.5 * (share * (np.asarray(_TAKEN) - _TARGET) ** 2).sum()
    np.testing.assert_allclose(_squared_error(_TAKEN, _FOLLOWING, _BATCH), expected, rtol=1e-6)


def test_the_gradient_reaches_what_was_taken_and_nothing_of_the_target() -> None:
    gradients = jax.grad(_squared_error, argnums=(0, 1))(_TAKEN, _FOLLOWING, _BATCH)
    share = np.array([0.25, 0.25, 0.5])
    np.testing.assert_allclose(gradients[0], share * (np.asarray(_TAKEN) - _TARGET), rtol=1e-5)
    np.testing.assert_array_equal(gradients[1], np.zeros(3))


@pytest.mark.parametrize("behind", [np.nan, np.inf, -np.inf])
def test_what_is_behind_the_end_may_be_anything(behind: float) -> None:
    following = _FOLLOWING.at[2].set(behind)
    value, gradient = jax.value_and_grad(_squared_error)(_TAKEN, following, _BATCH)
    expected, expected_gradient = jax.value_and_grad(_squared_error)(_TAKEN, _FOLLOWING, _BATCH)
    assert float(value) == float(expected)
    np.testing.assert_array_equal(gradient, expected_gradient)


def test_an_agent_that_discounts_everything_learns_rewards() -> None:
    nothing = jnp.full(3, jnp.nan)
    error = base.squared_error(_TAKEN, nothing, _BATCH, dataclasses.replace(_CONFIG, discount=0.0))
    share = np.array([0.25, 0.25, 0.5])
    rewards = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(error, 0.5 * (share * (np.asarray(_TAKEN) - rewards) ** 2).sum(), rtol=1e-6)


def test_a_scale_of_rewards_leaves_the_values_of_what_follows() -> None:
    scaled = dataclasses.replace(_CONFIG, reward_scale=10.0)
    error = base.squared_error(_TAKEN, _FOLLOWING, _BATCH, scaled)
    target = np.array([10.0 + 0.9 * 2.0, -20.0 + 0.9 * 0.25 * 4.0, 5.0])
    share = np.array([0.25, 0.25, 0.5])
    np.testing.assert_allclose(error, 0.5 * (share * (np.asarray(_TAKEN) - target) ** 2).sum(), rtol=1e-6)


def test_without_weight_there_is_no_error() -> None:
    assert float(_squared_error(_TAKEN, _FOLLOWING, _BATCH._replace(weight=jnp.zeros(3)))) == 0.0

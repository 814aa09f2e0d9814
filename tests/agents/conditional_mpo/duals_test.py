"""Tests of agents.conditional_mpo.duals: raw numbers, their values, and their selection by member."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from agents.conditional_mpo import duals
from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.conditional_mpo.duals import Duals
from agents.conditional_mpo.presets import PRESETS

# No first value is above 1, so all units are 1 and values are the softplus of raw numbers.
_CONFIG = ConditionalMPOConfig(temperature=1.0, penalty_temperature=1.0, alpha_policy=1.0)
_MEMBER = jnp.array([2, 0, 2, 1])
_RAW = Duals(
    jnp.array([0.0, 1.0, -30.0]),
    jnp.array([3.0, -1.0, 2.0]),
    (jnp.array([[0.5, -0.5], [1.0, 2.0], [40.0, -2.0]]),),
)


@pytest.mark.parametrize("preset", PRESETS)
def test_values_begin_as_configured(preset: str) -> None:
    config = PRESETS[preset]
    for is_discrete, alphas in (
        (True, [config.alpha_policy]),
        (False, [config.alpha_mean, config.alpha_deviation]),
    ):
        values = duals.select(config, duals.init(config, 3, is_discrete), jnp.zeros(1, int))
        np.testing.assert_allclose(values.temperature, config.temperature, rtol=1e-6)
        np.testing.assert_allclose(values.penalty_temperature, config.penalty_temperature, rtol=1e-6)
        for alpha, expected in zip(values.alphas, alphas, strict=True):
            np.testing.assert_allclose(alpha, np.full_like(alpha, expected), rtol=1e-6)


@pytest.mark.parametrize("value", [1e-6, 1e-3, 0.05, 1.0, 30.0, 1e4, 1e30])
def test_first_values_may_be_small_or_large(value: float) -> None:
    config = ConditionalMPOConfig(temperature=value, alpha_policy=value)
    values = duals.select(config, duals.init(config, 0, is_discrete=True), jnp.zeros(1, int))
    # Softplus gives the value, and the least value is added.
    np.testing.assert_allclose(values.temperature, value + 1e-8, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(values.alphas[0], value + 1e-8, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("first", [0.1, 1.0, 10.0, 1000.0])
def test_a_step_changes_a_value_by_a_share_of_itself(first: float) -> None:
    config = ConditionalMPOConfig(alpha_deviation=first)
    raw = duals.init(config, 1, is_discrete=False)
    steps = 0
    while float(duals.select(config, raw, jnp.zeros(1, int)).alphas[1][0, 0]) > first / 100:
        raw = jax.tree.map(lambda leaf: leaf - 0.01, raw)
        steps += 1
    # If every step took 1 % off, a hundredth would be reached in 459 steps.
    assert 459 <= steps < 550


def test_a_first_value_below_the_least_one_becomes_it() -> None:
    raw = duals.init(ConditionalMPOConfig(temperature=1e-12), 0, is_discrete=True)
    np.testing.assert_array_equal(raw.temperature, [-18.0])


@pytest.mark.parametrize(
    ("settings", "is_discrete", "num_sets", "sizes"),
    [
        ({}, True, 1, [1]),
        ({}, False, 1, [5, 5]),
        ({"per_dimension": False}, False, 1, [1, 1]),
        ({"per_dimension": False, "action_penalty": False}, True, 1, [1]),
        ({"num_members": 3}, True, 1, [1]),
        ({"num_members": 3, "duals_per_member": True}, True, 3, [1]),
        ({"num_members": 3, "duals_per_member": True}, False, 3, [5, 5]),
        ({"num_members": 1, "duals_per_member": True}, False, 1, [5, 5]),
    ],
)
def test_there_is_one_set_or_one_for_each_member(
    settings: dict, is_discrete: bool, num_sets: int, sizes: list[int]
) -> None:
    config = ConditionalMPOConfig(**settings)
    raw = duals.init(config, 5, is_discrete)
    assert raw.temperature.shape == raw.penalty_temperature.shape == (num_sets,)
    assert [alpha.shape for alpha in raw.alphas] == [(num_sets, size) for size in sizes]
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(raw))
    values = duals.select(config, raw, jnp.zeros(4, int))
    assert values.temperature.shape == values.penalty_temperature.shape == (4,)
    assert [alpha.shape for alpha in values.alphas] == [(4, size) for size in sizes]


def test_each_decision_has_the_values_of_its_member() -> None:
    values = duals.select(_CONFIG, _RAW, _MEMBER)

    def expected(raw: jax.Array) -> np.ndarray:
        return np.log1p(np.exp(np.asarray(raw, np.float64)))[np.asarray(_MEMBER)] + 1e-8

    jax.tree.map(lambda raw, value: np.testing.assert_allclose(value, expected(raw), rtol=1e-6), _RAW, values)
    np.testing.assert_allclose(values.temperature[1], np.log(2.0), rtol=1e-6)


def test_gradients_reach_only_the_members_of_the_batch() -> None:
    gradient = jax.grad(lambda raw: duals.select(_CONFIG, raw, jnp.array([1, 1])).temperature.sum())(_RAW)
    np.testing.assert_allclose(gradient.temperature, [0.0, 2.0 / (1.0 + np.exp(-1.0)), 0.0], rtol=1e-6)
    np.testing.assert_array_equal(gradient.alphas[0], np.zeros((3, 2)))


def test_one_set_serves_members_of_any_index() -> None:
    raw = jax.tree.map(lambda leaf: leaf[1:2], _RAW)
    values = duals.select(_CONFIG, raw, _MEMBER)
    jax.tree.map(np.testing.assert_array_equal, values, duals.select(_CONFIG, raw, jnp.zeros(4, int)))
    gradient = jax.grad(lambda raw: duals.select(_CONFIG, raw, _MEMBER).temperature.sum())(raw)
    np.testing.assert_allclose(gradient.temperature, [4.0 / (1.0 + np.exp(-1.0))], rtol=1e-6)


def test_raw_numbers_are_floored_and_otherwise_left() -> None:
    floored = duals.floor(_RAW)
    np.testing.assert_array_equal(floored.temperature, [0.0, 1.0, -18.0])
    jax.tree.map(np.testing.assert_array_equal, floored[1:], _RAW[1:])


def test_values_are_positive_at_the_floor_and_come_back_from_it() -> None:
    raw = duals.floor(jax.tree.map(lambda leaf: jnp.full_like(leaf, -1e6), _RAW))
    assert all((leaf > 0).all() for leaf in jax.tree.leaves(duals.select(_CONFIG, raw, _MEMBER)))
    optimiser = optax.adam(0.1)

    def loss(raw: Duals) -> jax.Array:
        return -sum(leaf.sum() for leaf in jax.tree.leaves(duals.select(_CONFIG, raw, jnp.arange(3))))

    updates, _ = optimiser.update(jax.grad(loss)(raw), optimiser.init(raw))
    risen = optax.apply_updates(raw, updates)
    # Gradients are about as small as Adam's epsilon, so a step is shorter than its learning rate of 0.1.
    assert all((leaf > -18.0 + 0.05).all() for leaf in jax.tree.leaves(risen))

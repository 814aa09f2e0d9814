"""Tests of agents.crossq.temperature: the schedule, and learning towards a target entropy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.crossq import CrossQConfig, temperature

_LEARNED = CrossQConfig(temperature=0.5, learning_rate=0.01, final_learning_rate=0.01, target_entropy=-2.0)
_FALLING = CrossQConfig(temperature=0.5, final_temperature=0.005, horizon=300, learn_temperature=False)

_value = jax.jit(temperature.value, static_argnums=0)
_schedule = jax.jit(temperature.schedule, static_argnums=0)


@functools.partial(jax.jit, static_argnums=0)
def _update(
    config: CrossQConfig, state: temperature.Temperature, entropy: float, target: float
) -> temperature.Temperature:
    return temperature.update(config, state, jnp.asarray(entropy), jnp.asarray(target))


def test_the_temperature_falls_geometrically_over_the_horizon() -> None:
    at = [float(_schedule(_FALLING, jnp.int32(step))) for step in (0, 75, 150, 299)]
    np.testing.assert_allclose(at, [0.5, 0.5 * 0.01**0.25, 0.05, 0.5 * 0.01 ** (299 / 300)], rtol=1e-5)


def test_the_temperature_stays_low_beyond_the_horizon() -> None:
    at = [float(_schedule(_FALLING, jnp.int32(step))) for step in (300, 450, 900)]
    np.testing.assert_allclose(at, 0.005, rtol=1e-5)


def test_a_learned_temperature_begins_where_it_is_told_and_knows_no_schedule() -> None:
    state = temperature.init(_LEARNED)
    np.testing.assert_allclose(state.log_value, np.log(0.5), rtol=1e-6)
    for step in (0, 10**6):
        np.testing.assert_allclose(_value(_LEARNED, state, jnp.int32(step)), 0.5, rtol=1e-6)
    np.testing.assert_allclose(_value(_LEARNED, state._replace(log_value=jnp.float32(1.0)), 0), np.e)


def test_where_it_is_not_learned_the_schedule_counts_and_no_update_moves_it() -> None:
    state = temperature.init(_FALLING)
    after = _update(_FALLING, state, 3.0, -2.0)
    jax.tree.map(np.testing.assert_array_equal, after, state)
    moved = state._replace(log_value=jnp.float32(1.0))
    np.testing.assert_allclose(_value(_FALLING, moved, jnp.int32(150)), 0.05, rtol=1e-5)


@pytest.mark.parametrize(("entropy", "falls"), [(-1.0, True), (5.0, True), (-3.0, False), (-20.0, False)])
def test_too_much_entropy_lowers_the_temperature_and_too_little_raises_it(
    entropy: float, falls: bool
) -> None:
    state = temperature.init(_LEARNED)
    after = _update(_LEARNED, state, entropy, -2.0)
    assert (float(after.log_value) < float(state.log_value)) == falls


def test_entropy_on_target_leaves_it() -> None:
    state = temperature.init(_LEARNED)
    assert float(_update(_LEARNED, state, -2.0, -2.0).log_value) == float(state.log_value)


def test_steps_of_adam_by_hand() -> None:
    """The loss is log_value * (entropy - target). The momentum is Adam's usual 0.9, not the networks' 0.5."""
    state, log_value = temperature.init(_LEARNED), np.log(0.5)
    first = second = 0.0
    for step, entropy in enumerate([-1.0, 0.5, -4.0, 2.0], start=1):
        gradient = entropy + 2.0
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        unbiased = np.sqrt(second / (1 - 0.999**step)) + 1e-8
        log_value -= 0.01 * first / (1 - 0.9**step) / unbiased
        state = _update(_LEARNED, state, entropy, -2.0)
        np.testing.assert_allclose(state.log_value, log_value, rtol=1e-5)
    np.testing.assert_allclose(state.optimiser[0].mu, first, rtol=1e-4)


def test_nothing_is_learned_through_the_entropy_itself() -> None:
    state = temperature.init(_LEARNED)
    gradient = jax.grad(lambda entropy: _update(_LEARNED, state, entropy, -2.0).optimiser[0].mu)(1.0)
    assert float(gradient) == 0.0


def test_the_learning_rate_falls_linearly_over_the_horizon() -> None:
    config = CrossQConfig(learning_rate=0.01, final_learning_rate=0.002, horizon=4)
    rate = temperature.learning_rate(config)
    np.testing.assert_allclose([rate(step) for step in range(6)], [0.01, 0.008, 0.006, 0.004, 0.002, 0.002])

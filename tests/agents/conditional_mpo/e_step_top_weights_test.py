"""Tests of agents.conditional_mpo.e_step: V-MPO's weights of decisions."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.conditional_mpo import e_step

# Compilation takes most of these tests' time, so XLA is asked to optimise as little as it can.
_top_weights: Any = functools.partial(
    jax.jit,
    static_argnums=3,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)(e_step.top_weights)

_FOUR = jnp.array([1.0, -2.0, 3.0, 0.5])
_EVEN = jnp.full(4, 0.25)


def _rows(num: int, num_counting: int, seed: int = 0) -> tuple[jax.Array, jax.Array]:
    """Returns random advantages, and shares that are equal among the decisions that count."""
    random = np.random.default_rng(seed)
    share = np.zeros(num)
    share[random.choice(num, num_counting, replace=False)] = 1.0 / num_counting
    return jnp.asarray(random.normal(size=num), jnp.float32), jnp.asarray(share, jnp.float32)


def test_four_decisions_by_hand() -> None:
    # The better half are the third and the first decision (Song et al. 2019, equations 4 and 5).
    weights, log_normaliser = _top_weights(_FOUR, jnp.full(4, 2.0), _EVEN, 0.5)
    one, three = np.exp(1.0 / 2.0), np.exp(3.0 / 2.0)
    np.testing.assert_allclose(weights, [one / (one + three), 0.0, three / (one + three), 0.0], rtol=1e-6)
    np.testing.assert_allclose(log_normaliser, np.log((one + three) / 2), rtol=1e-6)


@pytest.mark.parametrize(
    ("num", "fraction", "chosen"),
    [
        (4, 0.5, 2),
        (5, 0.5, 3),
        (10, 0.3, 3),
        (10, 0.7, 7),
        (7, 1.0, 7),
        (7, 0.01, 1),
        (1, 0.5, 1),
        (512, 0.5, 256),
    ],
)
def test_the_best_of_those_that_count_are_chosen(num: int, fraction: float, chosen: int) -> None:
    for idle in (0, 3):
        advantage, share = _rows(num + idle, num)
        weights, _ = _top_weights(advantage, jnp.ones(num + idle), share, fraction)
        counting = np.flatnonzero(share)
        best = counting[np.argsort(-advantage[counting])[:chosen]]
        np.testing.assert_array_equal(np.flatnonzero(weights), np.sort(best))
        expected = np.exp(np.asarray(advantage, np.float64))[best]
        np.testing.assert_allclose(weights[best], expected / expected.sum(), rtol=1e-4)


def test_one_temperature_gives_one_normaliser() -> None:
    advantage, share = _rows(9, 6)
    _, log_normaliser = _top_weights(advantage, jnp.full(9, 0.7), share, 0.5)
    best = np.sort(np.asarray(advantage, np.float64)[np.asarray(share) > 0])[-3:]
    counted = jnp.broadcast_to(log_normaliser, 9)[share > 0]
    np.testing.assert_allclose(counted, np.log(np.mean(np.exp(best / 0.7))), rtol=1e-5)


@pytest.mark.parametrize("member", [None, jnp.zeros(4, int)])
@pytest.mark.parametrize("ignored", [0.0, 1e9, np.nan, np.inf, -np.inf])
def test_advantages_that_do_not_count_may_be_anything(ignored: float, member: Any) -> None:
    share = jnp.array([1 / 3, 1 / 3, 0.0, 1 / 3])
    advantage = _FOUR.at[2].set(ignored)

    def dual(temperature: jax.Array) -> jax.Array:
        _, log_normaliser = _top_weights(advantage, temperature, share, 0.5, member)
        return e_step.temperature_loss(temperature, log_normaliser, 0.1, share)

    weights, _ = _top_weights(advantage, jnp.ones(4), share, 0.5, member)
    one, half = np.exp(1.0), np.exp(0.5)
    np.testing.assert_allclose(weights, [one / (one + half), 0, 0, half / (one + half)], rtol=1e-6)
    value, gradient = jax.value_and_grad(dual)(jnp.ones(4))
    np.testing.assert_allclose(value, 0.1 + np.log((one + half) / 2), rtol=1e-5)
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("member", [None, jnp.array([0, 1, 1, 0])])
def test_where_nothing_counts_there_are_no_weights(member: Any) -> None:
    def dual(temperature: jax.Array) -> jax.Array:
        _, log_normaliser = _top_weights(_FOUR, temperature, jnp.zeros(4), 0.5, member)
        return e_step.temperature_loss(temperature, log_normaliser, 0.1, jnp.zeros(4))

    weights, _ = _top_weights(_FOUR, jnp.ones(4), jnp.zeros(4), 0.5, member)
    np.testing.assert_array_equal(weights, np.zeros(4))
    value, gradient = jax.value_and_grad(dual)(jnp.ones(4))
    assert float(value) == 0.0
    np.testing.assert_array_equal(gradient, np.zeros(4))


def test_equals_lose_no_weight() -> None:
    weights, log_normaliser = _top_weights(jnp.full(4, 3.0), jnp.full(4, 2.0), _EVEN, 0.5)
    np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-6)
    # Equal advantages give equal weights.
    np.testing.assert_allclose(weights[weights > 0], weights.max(), rtol=1e-6)
    np.testing.assert_allclose(log_normaliser, 1.5, rtol=1e-6)


def test_the_order_of_the_batch_does_not_matter() -> None:
    advantage, share = _rows(50, 40)
    member = jnp.asarray(np.random.default_rng(1).integers(0, 4, 50))
    temperature = jnp.array([0.5, 1.0, 2.0, 3.0])[member]
    order = jnp.asarray(np.random.default_rng(2).permutation(50))
    expected = _top_weights(advantage, temperature, share, 0.4, member)
    shuffled = _top_weights(advantage[order], temperature[order], share[order], 0.4, member[order])
    for one, other in zip(shuffled, expected, strict=True):
        np.testing.assert_allclose(one, other[order], rtol=1e-5)


def test_members_with_their_own_temperatures_are_batches_of_their_own() -> None:
    advantage, _ = _rows(9, 9)
    member = jnp.array([2, 0, 2, 0, 2, 0, 2, 2, 0])
    temperature = jnp.array([0.5, 1.0, 2.0])[member]
    share = jnp.full(9, 1 / 9)
    weights, log_normaliser = _top_weights(advantage, temperature, share, 0.5, member)
    np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-6)
    for whose, num in ((0, 4), (2, 5)):
        mine = jnp.flatnonzero(member == whose)
        alone, its_normaliser = _top_weights(advantage[mine], temperature[mine], jnp.full(num, 1 / num), 0.5)
        np.testing.assert_allclose(weights[mine], alone * num / 9, rtol=1e-5)
        np.testing.assert_allclose(
            log_normaliser[mine], jnp.broadcast_to(its_normaliser, num), rtol=1e-5, atol=1e-6
        )


def test_one_member_alone_is_a_plain_batch() -> None:
    advantage, share = _rows(12, 9)
    plain = _top_weights(advantage, jnp.full(12, 0.5), share, 0.5)
    member = _top_weights(advantage, jnp.full(12, 0.5), share, 0.5, jnp.full(12, 3))
    np.testing.assert_allclose(plain[0], member[0], rtol=1e-5)
    counted = share > 0
    np.testing.assert_allclose(jnp.broadcast_to(plain[1], 12)[counted], member[1][counted], rtol=1e-5)


def test_weights_have_no_gradient_and_normalisers_one_in_the_temperature_alone() -> None:
    def weighed(advantage: jax.Array, temperature: jax.Array) -> jax.Array:
        weights, _ = _top_weights(advantage, temperature, _EVEN, 0.5)
        return jnp.sum(weights * jnp.arange(4))

    def dual(advantage: jax.Array, temperature: jax.Array) -> jax.Array:
        _, log_normaliser = _top_weights(advantage, temperature, _EVEN, 0.5)
        return e_step.temperature_loss(temperature, log_normaliser, 0.1, _EVEN)

    for gradient in jax.grad(weighed, (0, 1))(_FOUR, jnp.ones(4)):
        np.testing.assert_array_equal(gradient, np.zeros(4))
    in_advantage, in_temperature = jax.grad(dual, (0, 1))(_FOUR, jnp.ones(4))
    np.testing.assert_array_equal(in_advantage, np.zeros(4))
    # As for MPO, the gradient is the bound less a KL: here, from uniform weights over the chosen decisions.
    psi = np.exp([1.0, 3.0]) / np.exp([1.0, 3.0]).sum()
    np.testing.assert_allclose(in_temperature.sum(), 0.1 - (psi * np.log(2 * psi)).sum(), rtol=1e-4)


@pytest.mark.parametrize("temperature", [1.5e-8, 1e-3, 1e3])
@pytest.mark.parametrize("offset", [-1000.0, 0.0, 1000.0])
def test_temperatures_and_offsets_of_any_size_give_finite_numbers(temperature: float, offset: float) -> None:
    advantage = _FOUR + offset
    weights, log_normaliser = _top_weights(advantage, jnp.full(4, temperature), _EVEN, 0.5)
    np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-5)
    assert jnp.isfinite(log_normaliser).all()
    cold, hot = [0.0, 0.0, 1.0, 0.0], [0.5, 0.0, 0.5, 0.0]
    np.testing.assert_allclose(weights, hot if temperature > 1 else cold, atol=1e-3)

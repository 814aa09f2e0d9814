"""Tests of agents.crossq.networks: batch normalisation, and renormalisation that amounts to the same."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.crossq import CrossQConfig, networks

_LAYER = "batch_renorm"
_WARMING = CrossQConfig()
_PLAIN = CrossQConfig(normalisation="batch_norm", renorm_warmup=0)


@functools.cache
def _apply(config: CrossQConfig) -> Callable[..., tuple[jax.Array, Any]]:
    def forward(inputs: jax.Array, weight: jax.Array, is_training: bool) -> jax.Array:
        return networks.BatchRenorm(config, name=_LAYER)(inputs, weight, is_training)

    transformed: Any = hk.without_apply_rng(hk.transform_with_state(forward))
    return jax.jit(transformed.apply, static_argnums=4)


def _params(scale: Any, offset: Any) -> dict[str, dict[str, jax.Array]]:
    return {_LAYER: {"scale": jnp.asarray(scale, float), "offset": jnp.asarray(offset, float)}}


def _stats(mean: Any, variance: Any, count: int) -> dict[str, dict[str, jax.Array]]:
    running = {"mean": jnp.asarray(mean, float), "variance": jnp.asarray(variance, float)}
    return {_LAYER: {**running, "count": jnp.int32(count)}}


@pytest.mark.parametrize("config", [_WARMING, _PLAIN], ids=["warming", "plain"])
def test_agrees_with_flax_in_training_and_evaluation(config: CrossQConfig) -> None:
    """Running statistics start at mean 0 and variance 1, with the published momentum and epsilon.

    Variances are biased, as in Flax: they divide by the number of rows.
    """
    rng, rows = np.random.default_rng(0), 6
    theirs = nn.BatchNorm(momentum=0.99, epsilon=1e-3)
    scale, offset = (jnp.asarray(rng.normal(size=3), jnp.float32) for _ in range(2))
    variables: Any = theirs.init(jax.random.key(0), jnp.zeros((rows, 3)), use_running_average=True)
    running = variables["batch_stats"]
    flax_params = {"scale": scale, "bias": offset}

    @functools.partial(jax.jit, static_argnums=2)
    def flax_apply(running: Any, inputs: jax.Array, evaluates: bool) -> tuple[jax.Array, Any]:
        output, changed = theirs.apply(
            {"params": flax_params, "batch_stats": running},
            inputs,
            use_running_average=evaluates,
            mutable=["batch_stats"],
        )
        return output, changed["batch_stats"]

    ours, stats = _apply(config), _stats(np.zeros(3), np.ones(3), 0)
    for _ in range(5):
        inputs = jnp.asarray(rng.normal(rng.normal(size=3), [0.1, 1.0, 5.0], size=(rows, 3)), jnp.float32)
        output, stats = ours(_params(scale, offset), stats, inputs, jnp.ones(rows), True)
        expected, running = flax_apply(running, inputs, False)
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(stats[_LAYER]["mean"], running["mean"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(stats[_LAYER]["variance"], running["var"], rtol=1e-5)
        evaluated, _ = ours(_params(scale, offset), stats, inputs, jnp.ones(rows), False)
        np.testing.assert_allclose(evaluated, flax_apply(running, inputs, True)[0], rtol=1e-5, atol=1e-5)
    assert np.abs(stats[_LAYER]["variance"] - 1).max() > 0.1


def test_batch_norm_never_corrects_however_far_the_running_statistics_are() -> None:
    inputs, stats = jnp.array([[4.0], [6.0]]), _stats([1.0], [9.0], 10**6)
    plain, after = _apply(_PLAIN)(_params([2.0], [10.0]), stats, inputs, jnp.ones(2), True)
    # The batch has mean 5 and variance 1.
    by_hand = np.array([[10 - 2 / np.sqrt(1.001)], [10 + 2 / np.sqrt(1.001)]])
    np.testing.assert_allclose(plain, by_hand, rtol=1e-6)
    np.testing.assert_allclose(after[_LAYER]["mean"], [1.04], rtol=1e-6)
    np.testing.assert_allclose(after[_LAYER]["variance"], [8.92], rtol=1e-6)
    renorm = dataclasses.replace(_PLAIN, normalisation="batch_renorm")
    corrected, _ = _apply(renorm)(_params([2.0], [10.0]), stats, inputs, jnp.ones(2), True)
    # Up to epsilon, r = 1 / 3 and d = 4 / 3.
    np.testing.assert_allclose(corrected, [[12.0], [10 + 2 * (1 / 3 + 4 / 3)]], rtol=1e-3)


@pytest.mark.parametrize("config", [_WARMING, dataclasses.replace(_WARMING, renorm_warmup=0)])
def test_a_large_mean_leaves_the_variance_its_digits(config: CrossQConfig) -> None:
    """Inputs have mean 1000 and deviation 1; the running mean is off by 1 %.

    Squares near 10^6 have a resolution of 1/16 in float32, so E[x^2] - E[x]^2 would be useless.
    """
    rng = np.random.default_rng(0)
    inputs = rng.normal(1e3, 1.0, size=(256, 3)).astype(np.float32)
    exact = inputs.astype(float)
    stats = _stats(np.full(3, 990.0), np.ones(3), 5)
    output, after = _apply(config)(_params(np.ones(3), np.zeros(3)), stats, inputs, jnp.ones(256), True)
    variance = (after[_LAYER]["variance"] - 0.99) / 0.01
    np.testing.assert_allclose(variance, exact.var(axis=0), atol=1e-3)
    deviation = np.sqrt(exact.var(axis=0) + 1e-3)
    expected = (exact - exact.mean(axis=0)) / deviation
    if config.renorm_warmup == 0:
        expected = expected * deviation / np.sqrt(1.001) + 5.0
    np.testing.assert_allclose(output, expected, atol=1e-3)


@pytest.mark.parametrize("config", [_WARMING, _PLAIN], ids=["warming", "plain"])
def test_evaluation_is_the_same_in_any_company(config: CrossQConfig) -> None:
    rng = np.random.default_rng(1)
    rows = jnp.asarray(rng.normal(size=(4, 2)), jnp.float32)
    params, stats = _params([1.5, -2.0], [0.5, 1.0]), _stats([1.0, -2.0], [0.3, 4.0], 7)
    alone, after = _apply(config)(params, stats, rows, jnp.ones(4), False)
    crowd = jnp.concatenate([1e4 * jnp.ones((3, 2)), rows])
    together, _ = _apply(config)(params, stats, crowd, jnp.ones(7), False)
    np.testing.assert_allclose(together[3:], alone, rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, after, stats)


def test_warm_up_goes_on_where_a_stored_state_left_it() -> None:
    config = CrossQConfig(renorm_warmup=3, renorm_r_max=100.0, renorm_d_max=100.0)
    inputs, params = jnp.array([[4.0], [6.0]]), _params([1.0], [0.0])
    before, _ = _apply(config)(params, _stats([1.0], [9.0], 2), inputs, jnp.ones(2), True)
    after, _ = _apply(config)(params, _stats([1.0], [9.0], 3), inputs, jnp.ones(2), True)
    np.testing.assert_allclose(before, [[-1.0], [1.0]], rtol=1e-3)
    # The output that the running statistics give: mean 1, deviation 3.
    np.testing.assert_allclose(after, [[1.0], [5 / 3]], rtol=1e-3)

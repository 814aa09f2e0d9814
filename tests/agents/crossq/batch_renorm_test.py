"""Tests of agents.crossq.networks: batch renormalisation."""

from collections.abc import Mapping
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.crossq import CrossQConfig, networks

_CONFIG = CrossQConfig(
    renorm_momentum=0.9, renorm_epsilon=1e-3, renorm_r_max=1.5, renorm_d_max=0.5, renorm_warmup=2
)
_LAYER = "batch_renorm"


def _layer(config: CrossQConfig) -> hk.TransformedWithState:
    def forward(inputs: jax.Array, weight: jax.Array, is_training: bool) -> jax.Array:
        return networks.BatchRenorm(config, name=_LAYER)(inputs, weight, is_training)

    transformed: Any = hk.without_apply_rng(hk.transform_with_state(forward))
    return transformed._replace(apply=jax.jit(transformed.apply, static_argnums=4))


def _params(scale: Any, offset: Any) -> dict[str, dict[str, jax.Array]]:
    return {_LAYER: {"scale": jnp.asarray(scale, float), "offset": jnp.asarray(offset, float)}}


def _stats(mean: Any, variance: Any, count: int) -> dict[str, dict[str, jax.Array]]:
    running = {"mean": jnp.asarray(mean, float), "variance": jnp.asarray(variance, float)}
    return {_LAYER: {**running, "count": jnp.int32(count)}}


def _reference(
    config: CrossQConfig,
    params: Mapping[str, Any],
    stats: Mapping[str, Any],
    inputs: np.ndarray,
    weight: np.ndarray,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Computes batch renormalisation in training, column by column; a row of weight w is repeated w times."""
    scale, offset = np.array(params["scale"], float), np.array(params["offset"], float)
    means, variances = np.array(stats["mean"], float), np.array(stats["variance"], float)
    output = np.empty(inputs.shape)
    for column in range(inputs.shape[1]):
        values = np.repeat(inputs[:, column].astype(float), weight.astype(int))
        mean, variance = np.mean(values), np.var(values)
        sigma = np.sqrt(variance + config.renorm_epsilon)
        running_sigma = np.sqrt(variances[column] + config.renorm_epsilon)
        r, d = 1.0, 0.0
        if stats["count"] >= config.renorm_warmup:
            r = min(max(sigma / running_sigma, 1 / config.renorm_r_max), config.renorm_r_max)
            d = (mean - means[column]) / running_sigma
            d = min(max(d, -config.renorm_d_max), config.renorm_d_max)
        normal = (inputs[:, column] - mean) / sigma * r + d
        output[:, column] = normal * scale[column] + offset[column]
        means[column] += (1 - config.renorm_momentum) * (mean - means[column])
        variances[column] += (1 - config.renorm_momentum) * (variance - variances[column])
    return output, {"mean": means, "variance": variances, "count": stats["count"] + 1}


def test_plain_batch_normalisation_by_hand_during_warm_up() -> None:
    config = CrossQConfig(renorm_momentum=0.75, renorm_epsilon=3.0, renorm_warmup=1)
    params, stats = _params([2.0], [10.0]), _stats([100.0], [100.0], 0)
    output, stats = _layer(config).apply(params, stats, jnp.array([[4.0], [6.0]]), jnp.ones(2), True)
    # The batch has mean 5, variance 1 and deviation sqrt(1 + 3) = 2. Running statistics do not matter yet.
    np.testing.assert_allclose(output, [[9.0], [11.0]], rtol=1e-6)
    np.testing.assert_allclose(stats[_LAYER]["mean"], [76.25], rtol=1e-6)
    np.testing.assert_allclose(stats[_LAYER]["variance"], [75.25], rtol=1e-6)
    assert int(stats[_LAYER]["count"]) == 1


def test_renormalisation_by_hand_after_warm_up() -> None:
    config = CrossQConfig(
        renorm_momentum=0.75, renorm_epsilon=3.0, renorm_r_max=3.0, renorm_d_max=1.0, renorm_warmup=1
    )
    params, stats = _params([2.0], [10.0]), _stats([4.0], [13.0], 1)
    output, _ = _layer(config).apply(params, stats, jnp.array([[4.0], [6.0]]), jnp.ones(2), True)
    # The running deviation is sqrt(13 + 3) = 4, so r = 2 / 4 and d = (5 - 4) / 4. Before scale 2 and offset
    # 10, the outputs are -0.5 * 0.5 + 0.25 = 0 and 0.5 * 0.5 + 0.25 = 0.5.
    np.testing.assert_allclose(output, [[10.0], [11.0]], rtol=1e-6)


def test_both_corrections_are_clipped_by_hand() -> None:
    config = CrossQConfig(renorm_epsilon=3.0, renorm_r_max=1.25, renorm_d_max=0.125, renorm_warmup=0)
    layer, inputs = _layer(config), jnp.array([[4.0], [6.0]])
    # Without bounds r would be 0.5 and d 0.25. They are clipped to 0.8 and 0.125.
    output, _ = layer.apply(_params([1.0], [0.0]), _stats([4.0], [13.0], 0), inputs, jnp.ones(2), True)
    np.testing.assert_allclose(output, [[-0.275], [0.525]], rtol=1e-5)
    # Without bounds r would be sqrt(1.2 / 0.4), and d (5 - 9) / sqrt(0.4). The bounds are 1.25 and -0.125.
    config = CrossQConfig(renorm_epsilon=0.2, renorm_r_max=1.25, renorm_d_max=0.125, renorm_warmup=0)
    stats = _stats([9.0], [0.2], 0)
    output, _ = _layer(config).apply(_params([1.0], [0.0]), stats, inputs, jnp.ones(2), True)
    normal = 1 / np.sqrt(1.2)
    np.testing.assert_allclose(output, [[-1.25 * normal - 0.125], [1.25 * normal - 0.125]], rtol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_a_second_implementation_in_and_after_warm_up(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    params = _params(rng.normal(size=3), rng.normal(size=3))
    apply = _layer(_CONFIG).apply
    stats = _stats(np.zeros(3), np.ones(3), 0)
    expected_stats: Mapping[str, Any] = stats[_LAYER]
    for _ in range(6):
        inputs = rng.normal(rng.normal(size=3), [0.3, 1.0, 3.0], size=(7, 3)).astype(np.float32)
        weight = rng.integers(0, 3, size=7) if weighted else np.ones(7)
        output, stats = apply(params, stats, inputs, jnp.asarray(weight, jnp.float32), True)
        expected, expected_stats = _reference(_CONFIG, params[_LAYER], expected_stats, inputs, weight)
        np.testing.assert_allclose(output, expected, rtol=2e-5, atol=2e-5)
        for name, value in expected_stats.items():
            np.testing.assert_allclose(stats[_LAYER][name], value, rtol=2e-5, atol=1e-6)


def test_corrections_have_no_gradient() -> None:
    inputs = jnp.array([[0.0, 1.0], [2.0, 1.5], [3.0, 5.0]])
    stats = _stats([0.7, 1.1], [1.3, 2.1], 5)
    config = CrossQConfig(renorm_warmup=0, renorm_epsilon=0.1)
    running_sigma = np.sqrt(np.array([1.3, 2.1]) + 0.1)
    r = np.sqrt(np.var(inputs, axis=0) + 0.1) / running_sigma
    d = (np.mean(inputs, axis=0) - np.array([0.7, 1.1])) / running_sigma
    layer = _layer(config)

    def actual(inputs: jax.Array) -> jax.Array:
        output, _ = layer.apply(_params([1.0, 1.0], [0.0, 0.0]), stats, inputs, jnp.ones(3), True)
        return jnp.sum(output * jnp.array([[1.0, -2.0], [0.5, 1.0], [3.0, 2.0]]))

    def constant(inputs: jax.Array) -> jax.Array:
        normal = (inputs - inputs.mean(axis=0)) / jnp.sqrt(inputs.var(axis=0) + 0.1)
        return jnp.sum((normal * r + d) * jnp.array([[1.0, -2.0], [0.5, 1.0], [3.0, 2.0]]))

    value, gradient = jax.jit(jax.value_and_grad(actual))(inputs)
    expected_value, expected = jax.jit(jax.value_and_grad(constant))(inputs)
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_batch_statistics_do_have_a_gradient() -> None:
    layer = _layer(_CONFIG)

    def total(inputs: jax.Array) -> jax.Array:
        output, _ = layer.apply(_params([1.0], [0.0]), _stats([0.0], [1.0], 0), inputs, jnp.ones(3), True)
        return output.sum()

    # Activations that are centred at their own mean sum to zero for any inputs, so the gradient is zero.
    np.testing.assert_allclose(jax.grad(total)(jnp.array([[1.0], [2.0], [5.0]])), 0.0, atol=1e-6)


def test_where_nothing_is_clipped_training_gives_what_evaluation_gives() -> None:
    rng = np.random.default_rng(1)
    inputs = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
    params, stats = _params(rng.normal(size=3), rng.normal(size=3)), _stats([0.1, 0, -0.1], [1.2, 1, 0.8], 2)
    config = CrossQConfig(renorm_warmup=2, renorm_r_max=100.0, renorm_d_max=100.0)
    trained, _ = _layer(config).apply(params, stats, inputs, jnp.ones(5), True)
    evaluated, _ = _layer(config).apply(params, stats, inputs, jnp.ones(5), False)
    np.testing.assert_allclose(trained, evaluated, atol=1e-5)
    warming, _ = _layer(config).apply(
        params, _stats([0.1, 0, -0.1], [1.2, 1, 0.8], 1), inputs, jnp.ones(5), True
    )
    assert np.abs(warming - evaluated).max() > 1e-3


def test_evaluation_sees_every_row_alone_and_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    inputs = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
    params, stats = _params([1, 2, 3], [3, 2, 1]), _stats([1, 2, 3], [4, 5, 6], 9)
    layer = _layer(_CONFIG)
    output, after = layer.apply(params, stats, inputs, jnp.ones(5), False)
    expected = (inputs - np.array([1, 2, 3])) / np.sqrt(np.array([4, 5, 6]) + 1e-3) * np.array([1, 2, 3])
    np.testing.assert_allclose(output, expected + np.array([3, 2, 1]), atol=1e-5)
    for row in range(5):
        alone, _ = layer.apply(params, stats, inputs[row : row + 1], jnp.ones(1), False)
        np.testing.assert_allclose(alone[0], output[row], rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, after, stats)


@pytest.mark.parametrize("count", [0, 5])
def test_rows_of_weight_zero_leave_statistics_and_other_rows_untouched(count: int) -> None:
    inputs = jnp.array([[1.0], [2.0], [1e6], [4.0]])
    params, stats = _params([1.0], [0.0]), _stats([0.5], [2.0], count)
    layer = _layer(_CONFIG)
    output, after = layer.apply(params, stats, inputs, jnp.array([1.0, 1.0, 0.0, 1.0]), True)
    without, expected = layer.apply(params, stats, inputs[jnp.array([0, 1, 3])], jnp.ones(3), True)
    np.testing.assert_allclose(output[jnp.array([0, 1, 3])], without, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), after, expected)


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    inputs = jnp.array([[1.0, 0.0], [2.0, 5.0]])
    params, stats = _params([1.0, 1.0], [0.0, 0.0]), _stats([0.5, 0.0], [2.0, 1.0], 3)
    layer = _layer(_CONFIG)
    once, after = layer.apply(params, stats, inputs, jnp.array([2.0, 1.0]), True)
    twice, expected = layer.apply(params, stats, inputs[jnp.array([0, 0, 1])], jnp.ones(3), True)
    np.testing.assert_allclose(once[jnp.array([0, 0, 1])], twice, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), after, expected)


def test_a_batch_without_weight_is_finite() -> None:
    layer = _layer(_CONFIG)
    inputs = jnp.array([[1.0], [2.0]])
    output, stats = layer.apply(_params([1.0], [0.0]), _stats([0.5], [2.0], 9), inputs, jnp.zeros(2), True)
    assert np.isfinite(output).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(stats))


def test_counts_up_to_the_end_of_warm_up_and_beyond() -> None:
    layer, inputs = _layer(_CONFIG), jnp.array([[1.0], [3.0]])
    params, stats = layer.init(jax.random.key(0), inputs, jnp.ones(2), False)
    assert int(stats[_LAYER]["count"]) == 0
    renormalised = []
    for count in range(1, 5):
        output, stats = layer.apply(params, stats, inputs, jnp.ones(2), True)
        assert int(stats[_LAYER]["count"]) == count
        renormalised.append(bool(abs(output.mean()) > 1e-3))
    assert renormalised == [False, False, True, True]

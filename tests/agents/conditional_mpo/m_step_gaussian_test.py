"""Tests of agents.conditional_mpo.m_step: normal distributions and their KL divergences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.conditional_mpo import m_step
from agents.conditional_mpo.m_step import Gaussian

_RANDOM = np.random.default_rng(0)
_TARGET, _ONLINE = (
    Gaussian(
        jnp.asarray(_RANDOM.normal(size=(4, 3)), jnp.float32),
        jnp.asarray(_RANDOM.uniform(0.3, 2.0, (4, 3)), jnp.float32),
    )
    for _ in range(2)
)


def _density(x: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    return np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))


def _integrated_kl(target: tuple[float, float], online: tuple[float, float]) -> float:
    """Integrates the KL numerically, over 30 standard deviations to each side of the target's mean."""
    x = np.linspace(target[0] - 30 * target[1], target[0] + 30 * target[1], 200_001)
    p, log_ratio = _density(x, *target), _log_density(x, *target) - _log_density(x, *online)
    return float(np.sum(p * log_ratio) * (x[1] - x[0]))


def _log_density(x: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    return -0.5 * ((x - mean) / deviation) ** 2 - np.log(deviation * np.sqrt(2 * np.pi))


def test_kls_by_numerical_integration_each_part_with_the_other_held() -> None:
    of_mean, of_deviation = m_step.gaussian_kls(_TARGET, _ONLINE, per_dimension=True)
    assert of_mean.shape == of_deviation.shape == (4, 3)
    for index in np.ndindex(4, 3):
        mean, deviation = (float(part[index]) for part in _TARGET)
        other_mean, other_deviation = (float(part[index]) for part in _ONLINE)
        moved = _integrated_kl((mean, deviation), (other_mean, deviation))
        np.testing.assert_allclose(of_mean[index], moved, rtol=1e-4, atol=1e-6)
        widened = _integrated_kl((mean, deviation), (mean, other_deviation))
        np.testing.assert_allclose(of_deviation[index], widened, rtol=1e-4, atol=1e-6)


def test_kls_of_all_dimensions_together_are_their_sums() -> None:
    each = m_step.gaussian_kls(_TARGET, _ONLINE, per_dimension=True)
    both = m_step.gaussian_kls(_TARGET, _ONLINE, per_dimension=False)
    for whole, parts in zip(both, each, strict=True):
        assert whole.shape == (4, 1)
        np.testing.assert_allclose(whole, parts.sum(axis=-1, keepdims=True), rtol=1e-6)


def test_a_policy_has_no_distance_from_itself() -> None:
    for kl in m_step.gaussian_kls(_TARGET, _TARGET, per_dimension=True):
        np.testing.assert_allclose(kl, 0.0, atol=1e-7)


def test_each_distance_has_a_gradient_in_its_part_alone() -> None:
    def total(online: Gaussian, part: int) -> jax.Array:
        return m_step.gaussian_kls(_TARGET, online, per_dimension=True)[part].sum()

    of_mean, of_deviation = (jax.grad(total)(_ONLINE, part) for part in (0, 1))
    variance = jnp.square(_TARGET.deviation)
    np.testing.assert_allclose(of_mean.mean, (_ONLINE.mean - _TARGET.mean) / variance, rtol=1e-4)
    np.testing.assert_array_equal(of_mean.deviation, np.zeros((4, 3)))
    np.testing.assert_array_equal(of_deviation.mean, np.zeros((4, 3)))
    expected = 1 / _ONLINE.deviation - variance / _ONLINE.deviation**3
    np.testing.assert_allclose(of_deviation.deviation, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("deviation", [1e-6, 0.7, 50.0])
def test_distances_as_small_as_the_bound_of_deviations_are_told(deviation: float) -> None:
    # If the deviation is larger by a thousandth, the KL is 1e-6, close to the resolution of float32 at 1.
    target, online = (
        Gaussian(jnp.zeros((1, 1)), jnp.full((1, 1), scale * deviation, jnp.float32))
        for scale in (1.0, 1.001)
    )
    ratio = np.float64(target.deviation[0, 0]) / np.float64(online.deviation[0, 0])
    _, kl = m_step.gaussian_kls(target, online, per_dimension=True)
    np.testing.assert_allclose(kl[0, 0], 0.5 * (ratio**2 - 1) - np.log(ratio), rtol=0.1)


def test_log_densities_integrate_to_one_and_add_up_over_dimensions() -> None:
    x = np.linspace(-40, 40, 20_001)
    action = jnp.asarray(np.stack([x] * 3, axis=-1)[:, None], jnp.float32)
    one = jax.tree.map(lambda part: part[:1], _ONLINE)
    log_prob = m_step.gaussian_log_prob(one, action)
    assert log_prob.shape == (20_001, 1)
    expected = sum(_log_density(x, float(one.mean[0, i]), float(one.deviation[0, i])) for i in range(3))
    np.testing.assert_allclose(log_prob[:, 0], expected, rtol=1e-4, atol=1e-4)
    alone = Gaussian(one.mean[:, :1], one.deviation[:, :1])
    density = np.exp(np.asarray(m_step.gaussian_log_prob(alone, action[..., :1]), np.float64))
    np.testing.assert_allclose(density.sum() * (x[1] - x[0]), 1.0, rtol=1e-4)


def test_samples_and_rows_of_log_densities_stay_apart() -> None:
    action = jnp.asarray(_RANDOM.normal(size=(5, 4, 3)), jnp.float32)
    log_prob = m_step.gaussian_log_prob(_ONLINE, action)
    assert log_prob.shape == (5, 4)
    row = jax.tree.map(lambda part: part[2:3], _ONLINE)
    alone = m_step.gaussian_log_prob(row, action[3:4, 2:3])
    np.testing.assert_allclose(log_prob[3, 2], alone[0, 0], rtol=1e-6)

"""Tests of agents.crossq.continuous: the squashed normal policy, and the actions that it chooses."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from agents.crossq import Bounds, CrossQConfig, CrossQNetworks, base, continuous, networks
from tests.precision import double_precision

_BOUNDS = Bounds(jnp.array([-1.0, 0.0, -0.1]), jnp.array([1.0, 5.0, 0.3]))
_sample = jax.jit(continuous.sample)


def _output(num: int) -> np.ndarray:
    """Returns random means and log deviations of two numbers, `[num, 4]`."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(num, 2)), rng.uniform(-2.0, 0.5, size=(num, 2))], axis=1)


def test_the_density_is_the_slope_of_the_distribution_function() -> None:
    """P(action <= a) is the normal distribution function at arctanh(a); differences give its slope."""
    output = _output(200)
    with double_precision():
        action, log_prob = (np.asarray(part) for part in _sample(jax.random.key(0), jnp.asarray(output)))
    mean, deviation = output[:, :2], np.exp(output[:, 2:])
    step = 1e-4 * (1 - np.abs(action))

    def below(bound: np.ndarray) -> np.ndarray:
        return scipy.stats.norm.cdf(np.arctanh(bound), mean, deviation)

    density = (below(action + step) - below(action - step)) / (2 * step)
    np.testing.assert_allclose(log_prob, np.log(density).sum(axis=1), atol=1e-5)
    assert np.ptp(log_prob) > 3.0


def test_actions_are_drawn_from_the_squashed_normal_distribution() -> None:
    output = np.tile([[0.4, -1.2, -0.5, 0.3]], (20_000, 1)).astype(np.float32)
    action = np.asarray(_sample(jax.random.key(1), output).action, float)
    for number, (mean, log_deviation) in enumerate([(0.4, -0.5), (-1.2, 0.3)]):
        expected = scipy.stats.norm(mean, np.exp(log_deviation))
        assert scipy.stats.kstest(np.arctanh(action[:, number]), expected.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(action.T)[0, 1]) < 0.03


@pytest.mark.parametrize("far", [3.0, 9.0, 15.0, 40.0, -15.0])
def test_far_in_the_tail_where_tanh_rounds_to_one_density_and_gradient_are_exact(far: float) -> None:
    key, log_deviation = jax.random.key(0), -5.0
    noise = float(jax.random.normal(key, (1, 1))[0, 0])
    at = abs(far + np.exp(log_deviation) * noise)
    # 1 - tanh(u)^2 = 4 exp(-2 u) / (1 + exp(-2 u))^2.
    log_slope = np.log(4.0) - 2 * at - 2 * np.log1p(np.exp(-2 * at))
    expected = scipy.stats.norm.logpdf(noise) - log_deviation - log_slope
    log_prob, gradient = jax.value_and_grad(lambda output: _sample(key, output).log_prob[0])(
        jnp.array([[far, log_deviation]])
    )
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
    # The derivative by the mean is 2 tanh(u); by the log deviation it is -1 + 2 tanh(u) * deviation * noise.
    slope = 2 * np.sign(far) * np.tanh(at)
    np.testing.assert_allclose(gradient, [[slope, -1 + slope * np.exp(-5.0) * noise]], rtol=1e-4)


def test_log_deviations_are_clipped_and_have_no_gradient_beyond() -> None:
    key = jax.random.key(2)

    def drawn(log_deviation: jax.Array) -> jax.Array:
        return jnp.concatenate([part.ravel() for part in _sample(key, jnp.stack([0.1, log_deviation])[None])])

    for beyond, bound in ((5.0, 2.0), (-25.0, -20.0)):
        np.testing.assert_array_equal(drawn(jnp.float32(beyond)), drawn(jnp.float32(bound)))
        np.testing.assert_array_equal(jax.jacobian(drawn)(jnp.float32(beyond)), [0.0, 0.0])
    assert np.abs(jax.jacobian(drawn)(jnp.float32(1.5))).min() > 0.01


def test_the_gradient_of_a_sample_agrees_with_finite_differences() -> None:
    """The gradients of the reparametrised action and of its log density, along random directions."""
    rng, key, output = np.random.default_rng(1), jax.random.key(3), _output(4)
    by_action, by_log_prob = rng.normal(size=(4, 2)), rng.normal(size=4)
    with double_precision():

        def scalar(output: jax.Array) -> jax.Array:
            action, log_prob = continuous.sample(key, output)
            return jnp.sum(by_action * action) + jnp.sum(by_log_prob * log_prob)

        gradient = jax.jit(jax.grad(scalar))(jnp.asarray(output))
        steps = 1e-6 * np.eye(output.size).reshape(-1, *output.shape)
        differences = jax.jit(jax.vmap(lambda step: scalar(output + step) - scalar(output - step)))(steps)
    expected = np.asarray(differences) / 2e-6
    np.testing.assert_allclose(np.ravel(gradient), expected, rtol=1e-6, atol=1e-7)
    assert np.abs(expected).min() > 1e-4


def _linear_policy(exploration: float = 0.0) -> base.Model:
    """Makes a policy without hidden units: means and log deviations are linear in the observation."""

    def apply(params: Any, stats: Any, rows: jax.Array, *_: Any) -> tuple[jax.Array, Any]:
        return rows @ params, stats

    network = networks.Network(init=lambda key: (jnp.zeros((2, 6)), ()), apply=apply)
    config = CrossQConfig(exploration=exploration)
    return base.Model(CrossQNetworks(network, network, _BOUNDS), config)


def _policy(log_deviation: float) -> base.Fitted:
    means = jnp.array([[0.5, -1.0, 0.2], [0.0, 1.0, -0.2]])
    return base.Fitted(jnp.concatenate([means, jnp.full((2, 3), log_deviation)], axis=1), ())


def test_acting_draws_from_the_policy_within_the_bounds() -> None:
    rows = jnp.tile(jnp.array([[1.0, 0.0]]), (20_000, 1))
    action = np.asarray(continuous.act(_linear_policy(), _policy(0.5), jax.random.key(0), rows))
    assert action.shape == (20_000, 3)
    low, high = np.asarray(_BOUNDS.low), np.asarray(_BOUNDS.high)
    assert ((low <= action) & (action <= high)).all()
    inside = np.arctanh(np.clip(2 * (action - low) / (high - low) - 1, -1 + 1e-6, 1 - 1e-6))
    for number, mean in enumerate([0.5, -1.0, 0.2]):
        expected = scipy.stats.norm(mean, np.exp(0.5))
        assert scipy.stats.kstest(inside[:, number], expected.cdf).pvalue > 1e-3


def test_acting_depends_on_the_key() -> None:
    rows = jnp.ones((5, 2))
    first, again, other = (
        continuous.act(_linear_policy(), _policy(0.0), jax.random.key(seed), rows) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


@pytest.mark.parametrize("exploration", [0.3, 1.0])
def test_exploring_acts_evenly_within_the_bounds_as_often_as_asked(exploration: float) -> None:
    num = 20_000
    rows = jnp.tile(jnp.array([[1.0, 0.0]]), (num, 1))
    model, policy = _linear_policy(exploration), _policy(-20.0)
    action = np.asarray(continuous.act(model, policy, jax.random.key(0), rows))
    middle = np.asarray(continuous.perform(model, policy, jax.random.key(0), rows))
    explores = (np.abs(action - middle) > 1e-5).all(axis=1)
    # Four standard deviations of a frequency, and uniform actions that happen to lie near the middle.
    assert abs(explores.mean() - exploration) <= 4 * np.sqrt(exploration * (1 - exploration) / num) + 1e-3
    scale = _BOUNDS.high - _BOUNDS.low
    for number in range(3):
        expected = scipy.stats.uniform(_BOUNDS.low[number], scale[number])
        assert scipy.stats.kstest(action[explores, number], expected.cdf).pvalue > 1e-3


def test_performing_takes_the_middle_of_the_policy_whatever_the_key() -> None:
    rows = jnp.array([[1.0, 0.0], [1.0, 1.0]])
    model, policy = _linear_policy(0.5), _policy(1.0)
    first, other = (continuous.perform(model, policy, jax.random.key(seed), rows) for seed in (0, 1))
    np.testing.assert_array_equal(first, other)
    squashed = np.tanh([[0.5, -1.0, 0.2], [0.5, 0.0, 0.0]])
    np.testing.assert_allclose(first, (squashed + 1) / 2 * [2.0, 5.0, 0.4] + [-1.0, 0.0, -0.1], atol=1e-6)


@functools.cache
def _renormalised() -> tuple[base.Model, base.Fitted]:
    """Makes a policy with renormalisation, and statistics far from those of any batch in these tests."""
    config = CrossQConfig(policy_hidden_sizes=(5,), critic_hidden_sizes=(3,))
    made = networks.make_networks(jnp.zeros((1, 2)), _BOUNDS, config)
    params, stats = jax.jit(made.policy.init)(jax.random.key(0))
    return base.Model(made, config), base.Fitted(params, jax.tree.map(lambda leaf: leaf + 1, stats))


def test_performing_sees_every_row_alone() -> None:
    model, policy = _renormalised()
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)), jnp.float32)
    perform = jax.jit(functools.partial(continuous.perform, model))
    together = perform(policy, jax.random.key(0), jnp.concatenate([1e3 * jnp.ones((2, 2)), rows]))[2:]
    alone = [perform(policy, jax.random.key(0), rows[i : i + 1])[0] for i in range(4)]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    changed = policy._replace(stats=jax.tree.map(lambda leaf: leaf + 1, policy.stats))
    assert np.abs(perform(changed, jax.random.key(0), rows) - together).max() > 1e-3

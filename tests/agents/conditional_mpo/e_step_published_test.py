"""Tests of agents.conditional_mpo's E-step and M-step against the losses of Acme and rlax."""

import dataclasses
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import rlax
import tensorflow_probability
from acme.jax.losses import mpo

from agents.conditional_mpo import duals, e_step, m_step
from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.conditional_mpo.duals import Duals
from agents.conditional_mpo.m_step import Gaussian
from agents.conditional_mpo.presets import PRESETS

tfd = tensorflow_probability.substrates.jax.distributions

_NUM_SAMPLES, _NUM_ROWS, _SIZE = 6, 5, 3
_RANDOM = np.random.default_rng(0)
_EVEN = jnp.full(_NUM_ROWS, 1 / _NUM_ROWS)


def _normal(*shape: int) -> jax.Array:
    return jnp.asarray(_RANDOM.normal(size=shape), jnp.float32)


def _distribution() -> Gaussian:
    return Gaussian(_normal(_NUM_ROWS, _SIZE), jax.nn.softplus(_normal(_NUM_ROWS, _SIZE)))


_TARGET, _ONLINE = _distribution(), _distribution()
_ACTION, _Q = 1.5 * _normal(_NUM_SAMPLES, _NUM_ROWS, _SIZE), _normal(_NUM_SAMPLES, _NUM_ROWS)


def _total(raw: Duals, online: Gaussian, config: ConditionalMPOConfig) -> jax.Array:
    """Returns the sum of all losses of policy and duals, composed as in the agent's update."""
    values = duals.select(config, raw, jnp.zeros(_NUM_ROWS, int))
    weights, log_normaliser = e_step.sampled_weights(_Q, values.temperature)
    loss = e_step.temperature_loss(values.temperature, log_normaliser, config.epsilon, _EVEN)
    if config.action_penalty:
        penalty_weights, log_normaliser = e_step.sampled_weights(
            e_step.out_of_bounds_cost(_ACTION), values.penalty_temperature
        )
        weights += penalty_weights
        loss += e_step.temperature_loss(
            values.penalty_temperature, log_normaliser, config.epsilon_penalty, _EVEN
        )
    for one in (Gaussian(online.mean, _TARGET.deviation), Gaussian(_TARGET.mean, online.deviation)):
        log_prob = m_step.gaussian_log_prob(one, _ACTION)
        loss -= jnp.sum(_EVEN * jnp.sum(weights * log_prob, axis=0))
    kls = m_step.gaussian_kls(_TARGET, online, config.per_dimension)
    bounds = (config.epsilon_mean, config.epsilon_deviation)
    for kl, alpha, epsilon in zip(kls, values.alphas, bounds, strict=True):
        loss += sum(m_step.constraint_loss(kl, alpha, epsilon, _EVEN))
    return loss


def _acmes(raw: Duals, online: Gaussian, config: ConditionalMPOConfig) -> jax.Array:
    """Returns Acme's loss for the same data."""
    loss = mpo.MPO(
        epsilon=config.epsilon,
        epsilon_mean=config.epsilon_mean,
        epsilon_stddev=config.epsilon_deviation,
        init_log_temperature=0.0,
        init_log_alpha_mean=0.0,
        init_log_alpha_stddev=0.0,
        per_dim_constraining=config.per_dimension,
        action_penalization=config.action_penalty,
        epsilon_penalty=config.epsilon_penalty,
    )
    mean, deviation = (alpha[0] for alpha in raw.alphas)
    params = mpo.MPOParams(raw.temperature, mean, deviation, raw.penalty_temperature)
    distributions = (tfd.MultivariateNormalDiag(*each) for each in (online, _TARGET))
    value, _ = loss(params, *distributions, actions=_ACTION, q_values=_Q)
    return jnp.sum(value)


@pytest.mark.parametrize("action_penalty", [False, True])
@pytest.mark.parametrize("per_dimension", [False, True])
def test_losses_and_gradients_of_continuous_actions_as_in_acme(
    per_dimension: bool, action_penalty: bool
) -> None:
    config = dataclasses.replace(
        PRESETS["acme"],
        per_dimension=per_dimension,
        action_penalty=action_penalty,
        epsilon_deviation=0.01,
        temperature=0.7,
        penalty_temperature=0.3,
        # First values above 1 would be units in our version, but not in Acme's.
        alpha_mean=0.9,
        alpha_deviation=0.5,
    )
    raw = duals.init(config, _SIZE, is_discrete=False)
    raw = jax.tree.map(lambda leaf: leaf + 0.1 * jnp.arange(leaf.size).reshape(leaf.shape), raw)
    ours, theirs = (jax.value_and_grad(total, (0, 1))(raw, _ONLINE, config) for total in (_total, _acmes))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), ours[1], theirs[1])


def test_duals_are_floored_as_in_acme() -> None:
    raw = duals.init(PRESETS["acme"], _SIZE, is_discrete=False)
    params = mpo.clip_mpo_params(
        mpo.MPOParams(raw.temperature - 40, raw.alphas[0], raw.alphas[1] - 2000, raw.penalty_temperature),
        True,
    )
    floored = duals.floor(
        raw._replace(temperature=raw.temperature - 40, alphas=(raw.alphas[0], raw.alphas[1] - 2000))
    )
    for ours, theirs in (
        (floored.temperature, params.log_temperature),
        (floored.penalty_temperature, params.log_penalty_temperature),
        (floored.alphas[0], params.log_alpha_mean),
        (floored.alphas[1], params.log_alpha_stddev),
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("fraction", [0.25, 0.5, 1.0])
def test_weights_of_decisions_and_their_temperature_as_in_rlax(fraction: float) -> None:
    advantage = _normal(8)

    def ours(temperature: jax.Array) -> tuple[jax.Array, jax.Array]:
        rows, share = jnp.full(8, temperature), jnp.full(8, 1 / 8)
        weights, log_normaliser = e_step.top_weights(advantage, rows, share, fraction)
        return e_step.temperature_loss(rows, log_normaliser, 0.1, share), weights

    def theirs(temperature: jax.Array) -> tuple[jax.Array, jax.Array]:
        constraint = rlax.LagrangePenalty(alpha=temperature, epsilon=jnp.float32(0.1))
        loss, weights, _ = rlax.vmpo_compute_weights_and_temperature_loss(
            advantage, jnp.ones(8), jnp.ones(8), constraint, lambda x: x, fraction
        )
        return loss, weights

    both: list[Any] = [jax.value_and_grad(f, has_aux=True)(jnp.float32(0.8)) for f in (ours, theirs)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *both)


def test_kls_of_discrete_policies_as_in_tensorflow_probability() -> None:
    target, online = (jax.nn.log_softmax(_normal(_NUM_ROWS, _SIZE)) for _ in range(2))
    expected = tfd.Categorical(logits=target).kl_divergence(tfd.Categorical(logits=online))
    np.testing.assert_allclose(m_step.categorical_kl(target, online)[:, 0], expected, rtol=1e-4, atol=1e-6)

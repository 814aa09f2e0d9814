"""Tests of agents.conditional_mpo.e_step, MPO's weights and temperatures, and of the M-step's constraints."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.conditional_mpo import e_step, m_step
from agents.networks import masked_log_probs

_LEGAL = np.array(
    [[True, True, True], [False, True, True], [True, False, True], [True, True, False], [False, True, False]]
)
_LOG_PRIOR = masked_log_probs(jnp.asarray(np.random.default_rng(0).normal(size=(5, 3))), jnp.asarray(_LEGAL))
_Q = jnp.asarray(np.random.default_rng(1).normal(size=(5, 3)), jnp.float32)
_TEMPERATURE = jnp.array([0.5, 1.0, 2.0, 0.1, 0.3])
_SHARE = jnp.array([0.1, 0.2, 0.3, 0.4, 0.0])


def _one_by_one(q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes the E-step over lists of legal actions, in double precision."""
    weights, normalisers = np.zeros((5, 3)), np.zeros(5)
    for row, temperature in enumerate(np.asarray(_TEMPERATURE, np.float64)):
        legal = np.flatnonzero(_LEGAL[row])
        terms = [np.exp(float(_LOG_PRIOR[row, a]) + q[row, a] / temperature) for a in legal]
        weights[row, legal] = terms / sum(terms)
        normalisers[row] = np.log(sum(terms))
    return weights, normalisers


@pytest.mark.parametrize("unlawful", [0.0, 1e9, -1e9, np.inf, -np.inf, np.nan])
def test_improved_policies_by_brute_force_whatever_illegal_actions_are_worth(unlawful: float) -> None:
    q = jnp.where(_LEGAL, _Q, unlawful)
    weights, log_normaliser = e_step.categorical_weights(_LOG_PRIOR, q, _TEMPERATURE)
    expected, expected_normaliser = _one_by_one(np.asarray(_Q, np.float64))
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(weights)[~_LEGAL], 0.0)
    np.testing.assert_allclose(log_normaliser, expected_normaliser, rtol=1e-5, atol=1e-6)


def _dual(temperature: jax.Array, log_prior: jax.Array, q: jax.Array) -> jax.Array:
    _, log_normaliser = e_step.categorical_weights(log_prior, q, temperature)
    return e_step.temperature_loss(temperature, log_normaliser, 0.1, _SHARE)


@pytest.mark.parametrize("unlawful", [0.0, np.inf, np.nan])
def test_the_dual_of_a_temperature_has_the_gradient_of_finite_differences(unlawful: float) -> None:
    q = jnp.where(_LEGAL, _Q, unlawful)
    gradient = jax.grad(_dual)(_TEMPERATURE, _LOG_PRIOR, q)
    for row in range(5):
        step = jnp.zeros(5).at[row].set(0.01 * _TEMPERATURE[row])
        above, below = (_dual(_TEMPERATURE + side * step, _LOG_PRIOR, q) for side in (1, -1))
        np.testing.assert_allclose(gradient[row], (above - below) / (2 * step[row]), rtol=0.01, atol=1e-3)


def test_the_dual_of_a_temperature_grows_by_the_bound_less_the_kl() -> None:
    # Abdolmaleki et al. 2018a, appendix D.2: at the minimum, the improved policy's KL is epsilon.
    weights, _ = e_step.categorical_weights(_LOG_PRIOR, _Q, _TEMPERATURE)
    kl = np.where(_LEGAL, weights * (np.log(np.where(_LEGAL, weights, 1.0)) - _LOG_PRIOR), 0.0).sum(axis=-1)
    gradient = jax.grad(_dual)(_TEMPERATURE, _LOG_PRIOR, _Q)
    np.testing.assert_allclose(gradient, _SHARE * (0.1 - kl), atol=1e-5)


def test_e_steps_have_a_gradient_in_the_temperature_alone() -> None:
    def discrete(log_prior: jax.Array, q: jax.Array, temperature: jax.Array) -> jax.Array:
        weights, log_normaliser = e_step.categorical_weights(log_prior, q, temperature)
        return jnp.sum(weights * jnp.arange(3)) + 0.0 * log_normaliser.sum()

    def normaliser(log_prior: jax.Array, q: jax.Array) -> jax.Array:
        return e_step.categorical_weights(log_prior, q, _TEMPERATURE)[1].sum()

    def sampled(q: jax.Array, temperature: jax.Array) -> jax.Array:
        weights, _ = e_step.sampled_weights(q, temperature)
        return jnp.sum(weights * jnp.arange(5)[:, None])

    def sampled_normaliser(q: jax.Array) -> jax.Array:
        return e_step.sampled_weights(q, _TEMPERATURE[:3])[1].sum()

    zero = [
        *jax.grad(discrete, (0, 1, 2))(_LOG_PRIOR, _Q, _TEMPERATURE),
        *jax.grad(normaliser, (0, 1))(_LOG_PRIOR, _Q),
        *jax.grad(sampled, (0, 1))(_Q, _TEMPERATURE[:3]),
        jax.grad(sampled_normaliser)(_Q),
    ]
    for gradient in zero:
        np.testing.assert_array_equal(gradient, jnp.zeros_like(gradient))
    assert (jax.grad(_dual)(_TEMPERATURE, _LOG_PRIOR, _Q)[:4] != 0).all()


@pytest.mark.parametrize("temperature", [1e-3, 1.5e-8])
def test_cold_policies_are_greedy_among_legal_actions(temperature: float) -> None:
    weights, log_normaliser = e_step.categorical_weights(_LOG_PRIOR, _Q, jnp.full(5, temperature))
    best = np.where(_LEGAL, _Q, -np.inf).argmax(axis=-1)
    np.testing.assert_allclose(weights, np.eye(3)[best], atol=1e-6)
    assert jnp.isfinite(log_normaliser).all()
    assert jnp.isfinite(jax.grad(_dual)(jnp.full(5, temperature), _LOG_PRIOR, _Q)).all()
    sampled, _ = e_step.sampled_weights(_Q, jnp.full(3, temperature))
    np.testing.assert_allclose(sampled, np.eye(5)[_Q.argmax(axis=0)].T, atol=1e-6)


def test_hot_policies_are_the_prior() -> None:
    weights, log_normaliser = e_step.categorical_weights(_LOG_PRIOR, _Q, jnp.full(5, 1e8))
    np.testing.assert_allclose(weights, np.where(_LEGAL, jnp.exp(_LOG_PRIOR), 0.0), rtol=1e-6)
    np.testing.assert_allclose(log_normaliser, 0.0, atol=1e-6)
    sampled, _ = e_step.sampled_weights(_Q, jnp.full(3, 1e8))
    np.testing.assert_allclose(sampled, 0.2, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, -3.0, 7.0])
def test_where_all_actions_are_worth_the_same_the_policy_stays(value: float) -> None:
    weights, log_normaliser = e_step.categorical_weights(_LOG_PRIOR, jnp.full((5, 3), value), _TEMPERATURE)
    np.testing.assert_allclose(weights, np.where(_LEGAL, jnp.exp(_LOG_PRIOR), 0.0), rtol=1e-4)
    np.testing.assert_allclose(log_normaliser, value / _TEMPERATURE, rtol=1e-5, atol=1e-6)
    sampled, log_mean = e_step.sampled_weights(jnp.full((4, 3), value), _TEMPERATURE[:3])
    np.testing.assert_allclose(sampled, 0.25, rtol=1e-6)
    np.testing.assert_allclose(log_mean, value / _TEMPERATURE[:3], rtol=1e-5, atol=1e-6)


def test_a_constant_added_to_all_values_changes_no_policy() -> None:
    weights, log_normaliser = e_step.categorical_weights(_LOG_PRIOR, _Q, _TEMPERATURE)
    other, other_normaliser = e_step.categorical_weights(_LOG_PRIOR, _Q + 5.0, _TEMPERATURE)
    np.testing.assert_allclose(other, weights, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(other_normaliser, log_normaliser + 5.0 / _TEMPERATURE, rtol=1e-5)


def test_where_nothing_is_legal_nothing_is_nan() -> None:
    log_prior = masked_log_probs(_Q, jnp.zeros((5, 3), bool))
    weights, log_normaliser = e_step.categorical_weights(log_prior, _Q, _TEMPERATURE)
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=1e-6)
    assert jnp.isfinite(log_normaliser).all()


def test_samples_are_weighed_by_hand() -> None:
    q = jnp.log(jnp.array([[1.0, 4.0], [2.0, 4.0], [5.0, 1.0]]))
    weights, log_normaliser = e_step.sampled_weights(q, jnp.array([1.0, 0.5]))
    np.testing.assert_allclose(weights, [[1 / 8, 16 / 33], [2 / 8, 16 / 33], [5 / 8, 1 / 33]], rtol=1e-5)
    np.testing.assert_allclose(log_normaliser, np.log([8 / 3, 33 / 3]), rtol=1e-5)


def test_many_samples_from_the_prior_are_the_improved_policy() -> None:
    # The same normaliser is a sum over all actions and a mean over sampled ones.
    drawn = jax.random.categorical(jax.random.key(0), _LOG_PRIOR[0], shape=(100_000,))
    weights, log_mean = e_step.sampled_weights(_Q[0][drawn][:, None], _TEMPERATURE[:1])
    exact, log_normaliser = e_step.categorical_weights(_LOG_PRIOR[:1], _Q[:1], _TEMPERATURE[:1])
    np.testing.assert_allclose(jnp.zeros(3).at[drawn].add(weights[:, 0]), exact[0], atol=0.01)
    np.testing.assert_allclose(log_mean, log_normaliser, atol=0.02)


def test_losses_of_temperatures_are_weighed_by_share() -> None:
    loss = e_step.temperature_loss(_TEMPERATURE, jnp.arange(5.0), 0.1, _SHARE)
    np.testing.assert_allclose(loss, (_SHARE * _TEMPERATURE * (0.1 + np.arange(5))).sum(), rtol=1e-6)


def test_out_of_bounds_actions_cost_their_distance() -> None:
    action = jnp.array([[[0.3, -1.0], [1.0, 0.0]], [[4.0, -5.0], [-1.5, 0.2]]])
    np.testing.assert_allclose(e_step.out_of_bounds_cost(action), [[0.0, 0.0], [-5.0, -0.5]], atol=1e-6)


def test_kl_of_discrete_policies_sums_over_legal_actions() -> None:
    online = masked_log_probs(_Q, jnp.asarray(_LEGAL))
    p, q = (np.exp(np.asarray(table, np.float64)) for table in (_LOG_PRIOR, online))
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(_LEGAL, p * np.log(p / q), 0.0).sum(axis=-1, keepdims=True)
    kl = m_step.categorical_kl(_LOG_PRIOR, online)
    assert kl.shape == (5, 1)
    np.testing.assert_allclose(kl, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(m_step.categorical_kl(online, online), 0.0, atol=1e-7)
    assert (kl[:4] > 0.01).all()


@pytest.mark.parametrize("unlawful", [-1e9, -np.inf])
def test_kl_of_discrete_policies_and_its_gradient_are_never_nan(unlawful: float) -> None:
    def kl(logits: jax.Array) -> jax.Array:
        online = jnp.where(_LEGAL, jax.nn.log_softmax(jnp.where(_LEGAL, logits, -1e9)), unlawful)
        return m_step.categorical_kl(_LOG_PRIOR, online).sum()

    # As for the cross entropy, the gradient is the online probability less the target's.
    online = masked_log_probs(_Q, jnp.asarray(_LEGAL))
    expected = np.where(_LEGAL, np.exp(online) - np.exp(_LOG_PRIOR), 0.0)
    value, gradient = jax.value_and_grad(kl)(_Q)
    np.testing.assert_allclose(value, m_step.categorical_kl(_LOG_PRIOR, online).sum(), rtol=1e-6)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_constraints_by_hand() -> None:
    kl, alpha = jnp.array([[0.1, 0.4], [0.2, 0.0]]), jnp.array([[1.0, 2.0], [3.0, 4.0]])
    share = jnp.array([0.25, 0.75])
    penalty, dual_loss = m_step.constraint_loss(kl, alpha, 0.2, share)
    np.testing.assert_allclose(penalty, 0.25 * (0.1 + 0.8) + 0.75 * 0.6, rtol=1e-6)
    np.testing.assert_allclose(dual_loss, 0.25 * (0.1 - 0.4) + 0.75 * (0.0 + 0.8), rtol=1e-5)


def test_the_policy_pays_and_multipliers_learn_apart() -> None:
    kl, alpha = jnp.array([[0.1, 0.4], [0.2, 0.0]]), jnp.array([[1.0, 2.0], [3.0, 4.0]])
    share = jnp.array([0.25, 0.75])

    def loss(kl: jax.Array, alpha: jax.Array, output: int) -> jax.Array:
        return m_step.constraint_loss(kl, alpha, 0.2, share)[output]

    in_kl, none = jax.grad(loss, (0, 1))(kl, alpha, 0)
    np.testing.assert_allclose(in_kl, share[:, None] * alpha, rtol=1e-6)
    np.testing.assert_array_equal(none, np.zeros((2, 2)))
    none, in_alpha = jax.grad(loss, (0, 1))(kl, alpha, 1)
    np.testing.assert_array_equal(none, np.zeros((2, 2)))
    np.testing.assert_allclose(in_alpha, share[:, None] * (0.2 - kl), rtol=1e-6, atol=1e-7)
    # Descent on the duals' loss raises the multipliers of violated constraints and lowers all others.
    assert ((in_alpha < 0) == (kl > 0.2)).all()

"""Tests of agents.crossq.discrete: losses of small networks with batch renormalisation."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from agents.core import Observation, Transition, join
from agents.crossq import PRESETS, base, discrete, make_networks, networks
from agents.networks import masked_log_probs
from tests.precision import double_precision

# Compilation takes most of these tests' time, so XLA is asked to optimise as little as it can.
_jit: Any = functools.partial(
    jax.jit,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)

_CONFIG = dataclasses.replace(
    PRESETS["games"],
    critic_hidden_sizes=(6,),
    policy_hidden_sizes=(5,),
    discount=0.9,
    renorm_warmup=2,
    renorm_momentum=0.9,
)
_NUM_ROWS, _NUM_ACTIONS = 5, 3


def _rows() -> Observation:
    rng = np.random.default_rng(3)
    info_state = jnp.asarray(rng.normal(size=(_NUM_ROWS, 4)), jnp.float32)
    legal = jnp.asarray(
        [[True, True, True], [True, False, True], [False, True, True], [True] * 3, [True] * 3]
    )
    return Observation(info_state, legal, jnp.zeros((_NUM_ROWS, 0)))


def _shared_batch() -> Transition:
    """Returns eight decisions that share five observations. One has weight 0, and two end the game."""
    return Transition(
        observation=_rows(),
        now=jnp.array([0, 0, 1, 2, 3, 0, 4, 2]),
        then=jnp.array([1, 2, 4, 4, 0, 0, 3, 1]),
        action=jnp.array([0, 1, 2, 1, 0, 2, 2, 2]),
        reward=jnp.array([0.0, 0.5, -1.0, 0.25, 1.0, 0.0, -0.5, 0.75]),
        discount=jnp.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.5]),
        weight=jnp.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0]),
    )


def _joined(batch: Transition) -> Transition:
    """Returns the same decisions with two rows of observations for each of them."""
    now, then = (jax.tree.map(lambda rows, i=i: rows[i], batch.observation) for i in (batch.now, batch.then))
    joined = join(now, batch.action, batch.reward, batch.discount, then)
    return joined._replace(weight=batch.weight)


_NETWORKS = make_networks(jax.tree.map(lambda rows: rows[:1], _rows()), _NUM_ACTIONS, _CONFIG)
_MODEL = base.Model(_NETWORKS, _CONFIG)
# Discrete actions need no random numbers, so any key gives the same losses.
_KEY = jax.random.key(0)


class _Learner(NamedTuple):
    """Parameters and running statistics of two critics and of a policy."""

    params: Any
    stats: Any
    policy_params: Any
    policy_stats: Any


@functools.cache
def _prepare(steps: int) -> _Learner:
    """Returns networks whose statistics are those after a number of training passes over the rows.

    Warm-up ends after two passes.
    """

    def train(params: Any, stats: Any, policy_params: Any, policy_stats: Any) -> _Learner:
        ones = jnp.ones(_NUM_ROWS)
        _, stats = networks.apply_critics(_NETWORKS.critic, params, stats, _rows(), ones, True)
        _, policy_stats = _NETWORKS.policy.apply(policy_params, policy_stats, _rows(), ones, True)
        return _Learner(params, stats, policy_params, policy_stats)

    critics = _jit(jax.vmap(_NETWORKS.critic.init))(jax.random.split(jax.random.key(1), 2))
    learner = _Learner(*critics, *_jit(_NETWORKS.policy.init)(jax.random.key(0)))
    train = _jit(train)
    for _ in range(steps):
        learner = train(*learner)
    return learner


def _log_probs(learner: _Learner, observation: Observation) -> jax.Array:
    ones = jnp.ones(observation.info_state.shape[0])
    logits, _ = _NETWORKS.policy.apply(learner.policy_params, learner.policy_stats, observation, ones, False)
    return masked_log_probs(logits, observation.legal_actions)


def _assert_close(one: Any, other: Any, tolerance: float = 1e-5) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), one, other)


@pytest.mark.parametrize("entropy", [False, True])
@pytest.mark.parametrize("steps", [0, 3])
def test_shared_rows_give_the_critic_what_a_row_for_each_gives(steps: int, entropy: bool) -> None:
    model = base.Model(_NETWORKS, dataclasses.replace(_CONFIG, critic_entropy=entropy))
    learner = _prepare(steps)

    def loss(params: Any, batch: Transition) -> tuple[jax.Array, base.CriticExtra]:
        log_probs = _log_probs(learner, batch.observation)
        return discrete.critic_loss(params, learner.stats, log_probs, jnp.float32(0.3), batch, model)

    both = _jit(lambda *batches: [jax.value_and_grad(loss, has_aux=True)(learner.params, b) for b in batches])
    shared, joined = both(_shared_batch(), _joined(_shared_batch()))
    _assert_close(shared, joined)
    assert float(shared[0][0]) > 0.1


def test_shared_rows_give_the_policy_what_a_row_for_each_gives() -> None:
    learner = _prepare(3)

    def loss(params: Any, batch: Transition) -> tuple[jax.Array, base.PolicyExtra]:
        ones = jnp.ones(batch.observation.info_state.shape[0])
        critics = (_NETWORKS.critic, learner.params, learner.stats)
        q, _ = networks.apply_critics(*critics, batch.observation, ones, False)
        stats, temperature = learner.policy_stats, jnp.float32(0.3)
        return discrete.policy_loss(params, stats, q.mean(axis=0), temperature, _KEY, batch, _MODEL)

    value_and_grad = jax.value_and_grad(loss, has_aux=True)
    both = _jit(lambda *batches: [value_and_grad(learner.policy_params, batch) for batch in batches])
    shared, joined = both(_shared_batch(), _joined(_shared_batch()))
    _assert_close(shared, joined)


def test_one_joint_pass_is_not_two_passes() -> None:
    """States and next states are normalised together (Bhatt et al. 2024, section 3.1)."""
    learner, batch = _prepare(0), _shared_batch()
    joined, size = _joined(batch), batch.action.shape[0]
    now = jax.tree.map(lambda rows: rows[:size], joined.observation)
    then = jax.tree.map(lambda rows: rows[size:], joined.observation)
    weight, continuing = batch.weight, batch.weight * (batch.discount > 0)
    critic = (_NETWORKS.critic, learner.params, learner.stats)

    def squared_error(q_now: jax.Array, q_then: jax.Array) -> jax.Array:
        value = jnp.sum(jnp.exp(_log_probs(learner, then)) * q_then.mean(axis=0), axis=-1)
        target = batch.reward + 0.9 * batch.discount * value
        error = q_now[:, jnp.arange(size), batch.action] - target
        return 0.5 * jnp.sum(weight / weight.sum() * error**2)

    @_jit
    def compare() -> tuple[Any, ...]:
        rows = (joined.observation, jnp.concatenate([weight, continuing]))
        q, stats = networks.apply_critics(*critic, *rows, True)
        passes = ((now, weight), (then, continuing))
        apart = [networks.apply_critics(*critic, *one, True)[0] for one in passes]
        log_probs = _log_probs(learner, batch.observation)
        loss, extra = discrete.critic_loss(*learner[:2], log_probs, jnp.float32(0.3), batch, _MODEL)
        return loss, squared_error(q[:, :size], q[:, size:]), squared_error(*apart), extra.stats, stats

    loss, together, apart, stats, expected_stats = compare()
    np.testing.assert_allclose(loss, together, rtol=1e-5)
    assert abs(float(loss - apart)) > 1e-3
    _assert_close(stats, expected_stats)


def _double(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf, tree)


def test_critic_gradient_agrees_with_finite_differences() -> None:
    """The target is a constant, computed with the parameters at which the gradient is taken."""
    learner, batch = _prepare(0), _joined(_shared_batch())
    log_probs = _jit(_log_probs)(learner, batch.observation)
    with double_precision():
        learner, batch, log_probs = _double((learner, batch, log_probs))
        flat, unravel = ravel_pytree(learner.params)
        weight = jnp.concatenate([batch.weight, batch.weight * (batch.discount > 0)])

        def q_of(flat: jax.Array) -> jax.Array:
            critic = (_NETWORKS.critic, unravel(flat), learner.stats)
            return networks.apply_critics(*critic, batch.observation, weight, True)[0]

        def loss(flat: jax.Array) -> jax.Array:
            given = (unravel(flat), learner.stats, log_probs, 0.3)
            return discrete.critic_loss(*given, batch, _MODEL)[0]

        def differences(flat: jax.Array) -> tuple[jax.Array, jax.Array]:
            value = jnp.sum(jnp.exp(log_probs) * q_of(flat).mean(axis=0), axis=-1)[batch.then]
            target = batch.reward + 0.9 * batch.discount * value

            def held(flat: jax.Array) -> jax.Array:
                error = q_of(flat)[:, batch.now, batch.action] - target
                return 0.5 * jnp.sum(batch.weight / batch.weight.sum() * error**2)

            steps = 1e-6 * jnp.eye(flat.size)
            return held(flat), (jax.lax.map(held, flat + steps) - jax.lax.map(held, flat - steps)) / 2e-6

        value, gradient = _jit(jax.value_and_grad(loss))(flat)
        expected_value, expected = _jit(differences)(flat)
    np.testing.assert_allclose(value, expected_value, rtol=1e-9)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)
    assert float(np.abs(gradient).max()) > 0.1

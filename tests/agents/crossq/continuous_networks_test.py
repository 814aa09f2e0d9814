"""Tests of agents.crossq.continuous: losses of small networks with batch renormalisation."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from agents import actions
from agents.core import Transition
from agents.crossq import Bounds, CrossQConfig, base, continuous, make_networks, networks
from tests.precision import double_precision

# Compilation takes most of these tests' time, so XLA is asked to optimise as little as it can.
_jit: Any = functools.partial(
    jax.jit,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)

_CONFIG = CrossQConfig(
    critic_hidden_sizes=(4,), policy_hidden_sizes=(3,), discount=0.9, renorm_warmup=2, renorm_momentum=0.9
)
_BOUNDS = Bounds(jnp.array([-1.0, 0.0]), jnp.array([1.0, 4.0]))
_NETWORKS = make_networks(jnp.zeros((1, 3)), _BOUNDS, _CONFIG)
_MODEL = base.Model(_NETWORKS, _CONFIG)


def _batch() -> Transition:
    """Returns six decisions among seven observations; two decisions end their episode."""
    rng = np.random.default_rng(5)
    return Transition(
        observation=jnp.asarray(rng.normal(size=(7, 3)), jnp.float32),
        now=jnp.array([0, 0, 1, 2, 3, 4]),
        then=jnp.array([1, 2, 4, 5, 6, 0]),
        action=jnp.asarray(rng.uniform([-1, 0], [1, 4], size=(6, 2)), jnp.float32),
        reward=jnp.asarray(rng.normal(size=6), jnp.float32),
        discount=jnp.array([1.0, 0.5, 1.0, 0.0, 0.0, 1.0]),
        weight=jnp.array([1.0, 1.0, 2.0, 1.0, 1.0, 0.5]),
    )


@functools.cache
def _fitted() -> tuple[base.Fitted, base.Fitted]:
    """Returns critics and a policy with random parameters, and statistics from within warm-up."""
    rng = np.random.default_rng(6)

    def draw(network: networks.Network, *front: int) -> base.Fitted:
        params, stats = jax.eval_shape(network.init, jax.random.key(0))
        params = jax.tree.map(
            lambda leaf: jnp.asarray(rng.normal(0, 0.7, (*front, *leaf.shape)), "f"), params
        )
        stats = jax.tree.map(lambda leaf: jnp.full((*front, *leaf.shape), 0.8).astype(leaf.dtype), stats)
        return base.Fitted(params, stats)

    return draw(_NETWORKS.critic, 2), draw(_NETWORKS.policy)


@functools.cache
def _following() -> continuous.Sample:
    """Draws the policy's actions at the next states of the batch."""
    following = _jit(functools.partial(continuous.ACTIONS.following, _MODEL))
    return following(_fitted()[1], jax.random.key(1), _batch())


def _warmed(stats: Any) -> Any:
    """Returns the same statistics with counts from after warm-up."""
    return {name: {**leaf, "count": jnp.full_like(leaf["count"], 5)} for name, leaf in stats.items()}


def test_what_follows_is_the_policys_in_evaluation_mode_without_gradient() -> None:
    batch, policy = _batch(), _fitted()[1]
    rows = batch.observation[batch.then]
    output, _ = _jit(_NETWORKS.policy.apply, static_argnums=4)(*policy, rows, jnp.ones(6), False)
    expected = continuous.sample(jax.random.key(1), output)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), _following(), expected)


@pytest.mark.parametrize("warm", [False, True])
def test_the_joint_pass_is_one_plain_pass_and_not_two(warm: bool) -> None:
    """States and next states are normalised together (Bhatt et al. 2024, section 3.1)."""
    batch, following, (params, stats) = _batch(), _following(), _fitted()[0]
    stats = _warmed(stats) if warm else stats
    now, then = batch.observation[batch.now], batch.observation[batch.then]
    first = (now, actions.squash(batch.action, _BOUNDS))
    second = (then, following.action)
    apply = _jit(functools.partial(networks.apply_critics, _NETWORKS.critic), static_argnums=4)

    def squared_error(taken: jax.Array, value: jax.Array) -> jax.Array:
        value = value[..., 0].min(axis=0) - 0.3 * following.log_prob
        error = taken[..., 0] - (batch.reward + 0.9 * batch.discount * value)
        return 0.5 * jnp.sum(batch.weight / batch.weight.sum() * error**2)

    rows = jax.tree.map(lambda *halves: jnp.concatenate(halves), first, second)
    q, expected_stats = apply(params, stats, rows, jnp.tile(batch.weight, 2), True)
    apart = [apply(params, stats, half, batch.weight, True) for half in (first, second)]
    given = (params, stats, following, jnp.float32(0.3), batch)
    loss, extra = _jit(functools.partial(continuous.critic_loss, model=_MODEL))(*given)
    np.testing.assert_allclose(loss, squared_error(q[:, :6], q[:, 6:]), rtol=1e-5)
    # After warm-up, both ways normalise almost by the running statistics, so the difference is small.
    least = 1e-4 if warm else 1e-2
    assert abs(float(squared_error(apart[0][0], apart[1][0]) / loss - 1)) > least
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), extra.stats, expected_stats)
    for _, other_stats in apart:
        other = other_stats["batch_renorm_inputs"]["mean"]
        assert np.abs(extra.stats["batch_renorm_inputs"]["mean"] - other).max() > 1e-3


def _double(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf, tree)


def _differences(function: Callable[[jax.Array], jax.Array], at: jax.Array) -> jax.Array:
    """Returns central differences of a function of a vector, along every axis."""
    steps = 1e-6 * jnp.eye(at.size)
    return (jax.lax.map(function, at + steps) - jax.lax.map(function, at - steps)) / 2e-6


def test_critic_gradient_agrees_with_finite_differences() -> None:
    """The target is a constant, computed with the parameters at which the gradient is taken."""
    with double_precision():
        batch, (critics, _) = _double((_batch(), _fitted()))
        following = _double(_following())
        flat, unravel = ravel_pytree(critics.params)
        action = jnp.concatenate([actions.squash(batch.action, _BOUNDS), following.action])
        inputs = (batch.observation[jnp.concatenate([batch.now, batch.then])], action)

        def loss(flat: jax.Array) -> jax.Array:
            given = (unravel(flat), critics.stats, following, 0.3)
            return continuous.critic_loss(*given, batch, _MODEL)[0]

        def q_of(flat: jax.Array) -> jax.Array:
            critic = (_NETWORKS.critic, unravel(flat), critics.stats)
            return networks.apply_critics(*critic, inputs, jnp.tile(batch.weight, 2), True)[0][..., 0]

        def differences(flat: jax.Array) -> jax.Array:
            value = q_of(flat)[:, 6:].min(axis=0) - 0.3 * following.log_prob
            target = batch.reward + 0.9 * batch.discount * value

            def held(flat: jax.Array) -> jax.Array:
                error = q_of(flat)[:, :6] - target
                return 0.5 * jnp.sum(batch.weight / batch.weight.sum() * error**2)

            return _differences(held, flat)

        gradient, expected = _jit(jax.grad(loss))(flat), _jit(differences)(flat)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)
    assert float(np.abs(gradient).max()) > 0.1


def _smooth_critic(
    params: jax.Array, stats: Any, inputs: Any, weight: jax.Array, is_training: bool
) -> tuple[jax.Array, Any]:
    """Applies critics that are nonlinear in state and action and keep their precision."""
    assert not is_training
    return jnp.sin(jnp.concatenate(inputs, axis=1) @ params), stats


def test_policy_gradient_agrees_with_finite_differences() -> None:
    """The gradient flows through the policy's normalisation in training mode, the noise and the critics."""
    smooth = _NETWORKS._replace(critic=networks.Network(_NETWORKS.critic.init, _smooth_critic))
    model, key = base.Model(smooth, _CONFIG), jax.random.key(2)
    with double_precision():
        batch, (_, policy) = _double((_batch(), _fitted()))
        weights = jnp.asarray(np.random.default_rng(7).normal(size=(2, 5, 1)))
        flat, unravel = ravel_pytree(policy.params)

        def loss(flat: jax.Array) -> jax.Array:
            given = (unravel(flat), policy.stats, base.Fitted(weights, ()), 0.3)
            return continuous.policy_loss(*given, key, batch, model)[0]

        gradient = _jit(jax.grad(loss))(flat)
        expected = _jit(functools.partial(_differences, loss))(flat)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)
    assert float(np.abs(gradient).max()) > 0.1


@pytest.mark.parametrize("warm", [False, True])
def test_policy_loss_trains_the_policys_statistics_and_uses_the_critics_running_ones(warm: bool) -> None:
    """Each value is compared with the one that the critics in evaluation mode give for that row alone."""
    batch, key, (critics, policy) = _batch(), jax.random.key(2), _fitted()
    stats = _warmed(policy.stats) if warm else policy.stats
    rows = batch.observation[batch.now]
    train = _jit(_NETWORKS.policy.apply, static_argnums=4)
    output, expected_stats = train(policy.params, stats, rows, batch.weight, True)
    action, log_prob = continuous.sample(key, output)
    evaluate = _jit(functools.partial(networks.apply_critics, _NETWORKS.critic), static_argnums=4)
    q = jnp.concatenate(
        [evaluate(*critics, (rows[i : i + 1], action[i : i + 1]), jnp.ones(1), False)[0] for i in range(6)], 1
    )
    expected = batch.weight / batch.weight.sum() @ (0.3 * log_prob - q[..., 0].min(axis=0))

    @_jit
    def loss_of(critics: base.Fitted) -> tuple[jax.Array, base.PolicyExtra]:
        given = (policy.params, stats, critics, jnp.float32(0.3), key)
        return continuous.policy_loss(*given, batch, _MODEL)

    loss, extra = loss_of(critics)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), extra.stats, expected_stats)
    assert float(extra.target_entropy) == -2.0
    moved = critics._replace(stats=jax.tree.map(lambda leaf: leaf + 1, critics.stats))
    assert abs(float(loss_of(moved)[0] - loss)) > 1e-2

"""Tests of agents.crossq.networks, except for batch renormalisation."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.core import Observation
from agents.crossq import Bounds, CrossQConfig, networks

# Compilation takes most of these tests' time, so XLA is asked to optimise as little as it can.
_jit: Any = functools.partial(
    jax.jit,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)

_EXAMPLE = Observation(jnp.zeros((1, 4)), jnp.ones((1, 3), bool), jnp.zeros((1, 2)))


@pytest.mark.parametrize("normalise_inputs", [False, True])
def test_networks_map_observations_to_a_number_an_action_and_see_the_context(normalise_inputs: bool) -> None:
    config = CrossQConfig(
        critic_hidden_sizes=(5,), policy_hidden_sizes=(7, 8), normalise_inputs=normalise_inputs
    )
    made = networks.make_networks(_EXAMPLE, 3, config)
    assert made.bounds is None
    info_state = jnp.asarray(np.random.default_rng(0).normal(size=(8, 4)), jnp.float32)
    plain = Observation(info_state, jnp.ones((8, 3), bool), jnp.zeros((8, 2)))
    of_inputs = {6} if normalise_inputs else set()
    for network, widths in ((made.critic, {5}), (made.policy, {7, 8})):
        params, stats = _jit(network.init)(jax.random.key(0))
        norms = {leaf["mean"].shape[0] for leaf in stats.values()}
        assert norms == widths | of_inputs
        apply = _jit(network.apply, static_argnums=4)
        output, _ = apply(params, stats, plain, jnp.ones(8), False)
        assert output.shape == (8, 3)
        other, _ = apply(params, stats, plain._replace(context=jnp.ones((8, 2))), jnp.ones(8), False)
        assert np.abs(output - other).min() > 0


def test_critics_stand_side_by_side_each_with_its_own_parameters_and_statistics() -> None:
    made = networks.make_networks(_EXAMPLE, 3, CrossQConfig(critic_hidden_sizes=(5,)))
    params, stats = _jit(jax.vmap(made.critic.init))(jax.random.split(jax.random.key(0), 2))
    info_state = jnp.asarray(np.random.default_rng(0).normal(size=(8, 4)), jnp.float32)
    batch = Observation(info_state, jnp.ones((8, 3), bool), jnp.zeros((8, 2)))
    side_by_side = _jit(functools.partial(networks.apply_critics, made.critic), static_argnums=4)
    q, after = side_by_side(params, stats, batch, jnp.ones(8), True)
    assert q.shape == (2, 8, 3)
    apply = _jit(made.critic.apply, static_argnums=4)
    for critic in range(2):
        own_params, own_stats = jax.tree.map(lambda leaf, critic=critic: leaf[critic], (params, stats))
        alone, alone_after = apply(own_params, own_stats, batch, jnp.ones(8), True)
        np.testing.assert_allclose(q[critic], alone, atol=1e-5)
        own_after = jax.tree.map(lambda leaf, critic=critic: leaf[critic], after)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), own_after, alone_after)
    assert np.abs(q[0] - q[1]).max() > 1e-2


_BOUNDS = Bounds(jnp.array([-1.0, 0.0]), jnp.array([1.0, 5.0]))
_ROWS = {"position": jnp.zeros((1, 2)), "speed": jnp.zeros((1, 2, 3)), "contact": jnp.zeros((1,), int)}


def test_continuous_networks_map_to_means_and_deviations_and_to_a_value_of_state_and_action() -> None:
    config = CrossQConfig(critic_hidden_sizes=(5,), policy_hidden_sizes=(6, 7))
    made = networks.make_networks(_ROWS, _BOUNDS, config)
    jax.tree.map(np.testing.assert_array_equal, made.bounds, _BOUNDS)
    rows = jax.tree.map(lambda leaf: jnp.ones((8, *leaf.shape[1:]), leaf.dtype), _ROWS)
    action = jnp.zeros((8, 2)).at[1:, 0].set(0.5).at[2:, 1].set(0.5)
    # An observation has 2 + 2 * 3 + 1 numbers; the critic also gets the 2 numbers of an action.
    for network, inputs, widths, outputs in (
        (made.policy, rows, {9, 6, 7}, 4),
        (made.critic, (rows, action), {11, 5}, 1),
    ):
        params, stats = _jit(network.init)(jax.random.key(0))
        assert {leaf["mean"].shape[0] for leaf in stats.values()} == widths
        output, _ = _jit(network.apply, static_argnums=4)(params, stats, inputs, jnp.ones(8), False)
        assert output.shape == (8, outputs)
    assert len({float(value) for value in output[:3, 0]}) == 3


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [([-1.0, -np.inf], [1.0, 1.0], "finite bounds"), ([-1.0, 1.0], [1.0, -1.0], "must be below")],
)
def test_bounds_that_make_no_sense_are_refused(low: Any, high: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        networks.make_networks(_ROWS, Bounds(np.array(low), np.array(high)), CrossQConfig())
    assert "\n" not in str(refusal.value)

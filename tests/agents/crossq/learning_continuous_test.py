"""Tests of agents.crossq.learning: CrossQ with continuous actions as an agent."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.core import AgentCore, Transition, join
from agents.crossq import Bounds, CrossQConfig, base, learning, make_core, make_networks, networks

# Compilation takes most of these tests' time, so XLA is asked to optimise as little as it can.
_jit: Any = functools.partial(
    jax.jit,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)

_CONFIG = CrossQConfig(
    critic_hidden_sizes=(4, 4), policy_hidden_sizes=(4,), learning_rate=0.01, final_learning_rate=0.01
)
_BOUNDS = Bounds(jnp.array([-2.0, 0.0]), jnp.array([2.0, 1.0]))
_EXAMPLE = {"position": jnp.zeros((1, 2)), "speed": jnp.zeros((1, 1))}


def _rows(num: int, seed: int) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.float32(rng.normal(size=(num, *leaf.shape[1:]))), _EXAMPLE)


def _batch(num: int = 6) -> Transition:
    rng = np.random.default_rng(0)
    action = jnp.float32(rng.uniform(_BOUNDS.low, _BOUNDS.high, size=(num, 2)))
    discount = jnp.float32(rng.integers(0, 2, size=num))
    return join(_rows(num, 1), action, jnp.float32(rng.normal(size=num)), discount, _rows(num, 2))


@functools.cache
def _core(config: CrossQConfig = _CONFIG) -> AgentCore:
    core = make_core(make_networks(_EXAMPLE, _BOUNDS, config), config)
    return core._replace(init=_jit(core.init), update=_jit(core.update), act=_jit(core.act))


def _equal(one: Any, other: Any) -> bool:
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, one, other)))


@functools.cache
def _states(config: CrossQConfig = _CONFIG) -> list[learning.CrossQState]:
    """Returns the state before the first of six updates and after each of them."""
    states = [_core(config).init(jax.random.key(0))]
    for _ in range(6):
        states.append(_core(config).update(states[-1], _batch())[0])
    return states


def _moved(name: str) -> list[bool]:
    """Returns, for each of the six updates, True if it changed a part of the state."""
    pairs = zip(_states()[:-1], _states()[1:], strict=True)
    return [not _equal(getattr(before, name), getattr(after, name)) for before, after in pairs]


@pytest.mark.parametrize("name", ["critic_params", "critic_stats", "critic_optimiser", "key", "step"])
def test_critics_and_key_change_in_every_update(name: str) -> None:
    assert _moved(name) == [True] * 6


@pytest.mark.parametrize("name", ["policy_params", "policy_stats", "policy_optimiser", "temperature"])
def test_policy_and_temperature_change_in_every_third(name: str) -> None:
    assert _moved(name) == [False, False, True] * 2


def test_every_network_counts_its_own_updates_towards_warm_up() -> None:
    state = _states()[-1]
    assert {int(leaf["count"]) for leaf in state.policy_stats.values()} == {2}
    counts = [leaf["count"].tolist() for leaf in state.critic_stats.values()]
    assert counts == [[6, 6]] * 3


def test_the_policys_update_leaves_the_critics_as_their_own_made_them() -> None:
    # With a step count of 0, the policy's update is not due. Nothing else depends on the count here.
    alone = _core().update(_states()[2]._replace(step=jnp.int32(0)), _batch())[0]
    for name in ("critic_params", "critic_stats", "critic_optimiser"):
        assert _equal(getattr(_states()[3], name), getattr(alone, name))
    assert _equal(alone.policy_params, _states()[2].policy_params)


def test_an_update_reports_finite_numbers_and_the_temperature_that_it_leaves() -> None:
    state, metrics = _core().update(_states()[2], _batch())
    assert {"critic_loss", "q", "policy_loss", "entropy", "temperature"} == set(metrics)
    assert all(np.isfinite(value) and value.shape == () for value in metrics.values())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
    np.testing.assert_allclose(metrics["temperature"], np.exp(state.temperature.log_value), rtol=1e-6)
    # Six samples estimate the entropy poorly, but at first it is far above its target of -2 nats.
    assert float(metrics["entropy"]) > -2.0
    assert float(state.temperature.log_value) < float(_states()[2].temperature.log_value)


def test_the_state_draws_anew_in_every_update_and_repeats_from_one_seed() -> None:
    init = _core().init
    first, again, other = (init(jax.random.key(seed)) for seed in (0, 0, 1))
    assert _equal(first, again)
    for name in ("policy_params", "critic_params", "key"):
        assert not _equal(getattr(first, name), getattr(other, name))
    drawn = [_core().update(state, _batch())[1]["critic_loss"] for state in (first, again)]
    assert float(drawn[0]) == float(drawn[1])
    redrawn = _core().update(first._replace(key=other.key), _batch())[1]["critic_loss"]
    assert float(redrawn) != float(drawn[0])


def test_keys_of_either_kind_begin_alike_and_the_state_is_plain_arrays() -> None:
    typed, raw = (_core().init(make(3)) for make in (jax.random.key, jax.random.PRNGKey))
    assert _equal(typed, raw)
    assert typed.key.dtype == jnp.uint32
    assert typed.key.shape == (2,)


def test_acting_needs_the_policy_with_its_statistics_and_stays_within_bounds() -> None:
    variables = _core().variables(_states()[-1])
    assert _equal(variables, base.Fitted(_states()[-1].policy_params, _states()[-1].policy_stats))
    action = np.asarray(_core().act(variables, jax.random.key(0), _rows(500, 3)))
    assert action.shape == (500, 2)
    assert action.dtype == np.float32
    assert (action >= _BOUNDS.low).all()
    assert (action <= _BOUNDS.high).all()


def test_continuous_actions_have_no_probabilities() -> None:
    core, variables = _core(), _core().variables(_states()[0])
    for refuses in (core.probs, core.behaviour):
        with pytest.raises(ValueError, match="continuous actions have no probabilities"):
            refuses(variables, _rows(1, 0))


_NORMED = dataclasses.replace(_CONFIG, weight_norm=True)


def test_weight_norm_keeps_the_weights_into_the_critics_hidden_units_at_length_one() -> None:
    for state in _states(_NORMED):
        for name in ("linear", "linear_1"):
            np.testing.assert_allclose(np.linalg.norm(state.critic_params[name]["w"], axis=1), 1, rtol=1e-5)
    lengths = np.linalg.norm(_states()[-1].critic_params["linear_1"]["w"], axis=1)
    assert np.abs(lengths - 1).max() > 0.1


def test_weight_norm_touches_neither_the_last_layer_nor_biases_nor_the_policy() -> None:
    """After a step from one state, with and without weight norm, only lengths of hidden weights differ."""
    plain, after = (_core(config).update(_states()[2], _batch())[0] for config in (_CONFIG, _NORMED))
    expected = dict(plain.critic_params)
    for name in ("linear", "linear_1"):
        weights = expected[name]["w"]
        scaled = weights / np.linalg.norm(weights, axis=1, keepdims=True)
        expected[name] = {**expected[name], "w": scaled}
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), after.critic_params, expected
    )
    assert np.abs(np.linalg.norm(after.critic_params["linear_2"]["w"], axis=1) - 1).max() > 0.1
    lengths = np.linalg.norm(after.policy_params["linear"]["w"], axis=0)
    np.testing.assert_allclose(lengths, np.linalg.norm(plain.policy_params["linear"]["w"], axis=0), atol=0.03)
    assert np.abs(lengths - 1).max() > 0.1


def test_weight_norm_changes_no_output_where_biases_are_zero() -> None:
    """Biases are zero at first, so outputs of a layer scale with its weights, and normalisation undoes it."""
    config = dataclasses.replace(_CONFIG, renorm_epsilon=1e-12)
    plain, normed = (_states(c)[0] for c in (_CONFIG, _NORMED))
    assert not _equal(plain.critic_params["linear"], normed.critic_params["linear"])
    assert all(not leaf["b"].any() for name, leaf in plain.critic_params.items() if "linear" in name)
    critic = make_networks(_EXAMPLE, _BOUNDS, config).critic
    apply = _jit(functools.partial(networks.apply_critics, critic), static_argnums=4)
    inputs = (_rows(40, 5), jnp.tile(_batch(8).action, (5, 1)))
    outputs = [
        apply(state.critic_params, state.critic_stats, inputs, jnp.ones(40), True)[0]
        for state in (plain, normed)
    ]
    np.testing.assert_allclose(*outputs, rtol=1e-3, atol=1e-4)
    assert np.std(outputs[0]) > 0.1

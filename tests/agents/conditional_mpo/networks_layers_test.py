"""Tests of agents.conditional_mpo.networks: layers and their initial weights."""

import dataclasses
import functools
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.conditional_mpo.conditioning import make_contexts
from agents.conditional_mpo.networks import Network, WithAction, make_networks
from agents.conditional_mpo.presets import PRESETS
from agents.core import Bounds, Observation

# Compilation takes most of these tests' time, so XLA is asked to optimise as little as it can.
_jit: Any = functools.partial(
    jax.jit,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)

_NUM_ACTIONS = 3


def _init(network: Network, seed: int = 0) -> Any:
    """Returns parameters, with noise added because some begin with zeros, which would hide errors."""
    params = _jit(network.init)(jax.random.key(seed))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    moved = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, moved)


def _by_hand(params: Any, inputs: jax.Array) -> jax.Array:
    hidden = inputs @ params["linear"]["w"] + params["linear"]["b"]
    mean, variance = hidden.mean(axis=-1, keepdims=True), hidden.var(axis=-1, keepdims=True)
    norm = params["layer_norm"]
    hidden = jnp.tanh((hidden - mean) / jnp.sqrt(variance + 1e-5) * norm["scale"] + norm["offset"])
    hidden = jax.nn.elu(hidden @ params["linear_1"]["w"] + params["linear_1"]["b"])
    return hidden @ params["head"]["w"] + params["head"]["b"]


def test_layers_are_those_of_acme_over_the_row_of_the_member() -> None:
    config = dataclasses.replace(
        PRESETS["acme"], policy_hidden_sizes=(7, 8), num_members=4, embedding_size=5, mixture_size=2
    )
    contexts = make_contexts(config, [3, 1], [[0.25, 0.75], [1.0, 0.0]])
    info_state = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4)), jnp.float32)
    observation = Observation(info_state, jnp.ones((2, _NUM_ACTIONS), bool), jnp.asarray(contexts))
    network = make_networks(jax.tree.map(lambda leaf: leaf[:1], observation), _NUM_ACTIONS, config).policy
    params = _init(network)
    embedding = params["embed"]["embeddings"][jnp.array([3, 1])]
    inputs = jnp.concatenate([observation.info_state, embedding, observation.context[:, 1:]], axis=-1)
    output = _jit(network.apply)(params, observation)
    np.testing.assert_allclose(output, _jit(_by_hand)(params, inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")
def test_layers_give_what_those_of_acme_give_with_the_same_weights() -> None:
    import agents.acme_layer.compat  # noqa: F401

    # isort: split
    import haiku as hk
    from acme.jax import networks as acme_networks

    config = dataclasses.replace(PRESETS["acme"], critic_hidden_sizes=(9, 6))
    made = make_networks(jnp.zeros((1, 4)), _NUM_ACTIONS, config)
    torso = hk.without_apply_rng(
        hk.transform(lambda inputs: acme_networks.LayerNormMLP((9, 6), activate_final=True)(inputs))
    )
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)), jnp.float32)
    params = _init(made.critic)
    names = {"linear": "linear", "layer_norm": "layer_norm", "linear_1": "mlp/~/linear_0"}
    theirs = {f"feedforward_mlp_torso/~/{name}": params[own] for own, name in names.items()}
    assert set(torso.init(jax.random.key(0), inputs)) == set(theirs)
    expected = torso.apply(theirs, inputs) @ params["head"]["w"] + params["head"]["b"]
    np.testing.assert_allclose(_jit(made.critic.apply)(params, inputs), expected, rtol=1e-5, atol=1e-6)


def _by_hand_rectified(params: Any, inputs: jax.Array) -> jax.Array:
    hidden = inputs
    for linear, name in (("linear", "layer_norm"), ("linear_1", "layer_norm_1")):
        hidden, norm = hidden @ params[linear]["w"] + params[linear]["b"], params[name]
        mean, variance = hidden.mean(axis=-1, keepdims=True), hidden.var(axis=-1, keepdims=True)
        hidden = (hidden - mean) / jnp.sqrt(variance + 1e-5) * norm["scale"] + norm["offset"]
        hidden = jnp.maximum(hidden, 0.0)
    return hidden @ params["head"]["w"] + params["head"]["b"]


def test_rectified_layers_are_all_normalised_and_begin_with_variances_that_last() -> None:
    config = dataclasses.replace(PRESETS["acme"], critic_hidden_sizes=(64, 32), rectified=True)
    network = make_networks(jnp.zeros((1, 100)), _NUM_ACTIONS, config).critic
    params = _jit(network.init)(jax.random.key(0))
    for name, fan_in in (("linear", 100), ("linear_1", 64)):
        np.testing.assert_allclose(params[name]["w"].std(), np.sqrt(2 / fan_in), rtol=0.1)
    inputs, params = jnp.asarray(np.random.default_rng(0).normal(size=(6, 100)), jnp.float32), _init(network)
    found = _jit(network.apply)(params, inputs)
    np.testing.assert_allclose(found, _jit(_by_hand_rectified)(params, inputs), rtol=1e-4, atol=1e-4)


def test_several_actions_stand_against_each_observation() -> None:
    rng = np.random.default_rng(0)
    rows = jnp.asarray(rng.normal(size=(5, 4)), jnp.float32)
    action = jnp.asarray(rng.uniform(-1, 1, size=(7, 5, 2)), jnp.float32)
    bounds = Bounds(-jnp.ones(2), jnp.ones(2))
    for sizes, rectified in (((9, 6), False), ((9, 6), True), ((), True)):
        config = dataclasses.replace(PRESETS["acme"], critic_hidden_sizes=sizes, rectified=rectified)
        critic = make_networks(rows[:1], bounds, config).critic
        params = _init(critic)
        expected = [critic.apply(params, WithAction(rows, each)) for each in action]
        found = critic.apply(params, WithAction(rows, action))
        np.testing.assert_allclose(found, np.stack(expected), rtol=1e-5, atol=1e-6)


def test_weights_begin_within_a_third_of_what_keeps_variances() -> None:
    config = dataclasses.replace(PRESETS["acme"], critic_hidden_sizes=(64, 32))
    made = make_networks(jnp.zeros((1, 100)), _NUM_ACTIONS, config)
    params = _jit(made.critic.init)(jax.random.key(0))
    for name, fan_in in (("linear", 100), ("linear_1", 64), ("head", 32)):
        weights = np.abs(params[name]["w"])
        limit = 0.333 * np.sqrt(3 / fan_in)
        assert 0.9 * limit < weights.max() <= limit
        np.testing.assert_allclose(weights.mean(), limit / 2, rtol=0.15)


def test_networks_without_hidden_layers_are_linear() -> None:
    config = dataclasses.replace(PRESETS["acme"], critic_hidden_sizes=())
    network = make_networks(jnp.zeros((1, 4)), _NUM_ACTIONS, config).critic
    params = _jit(network.init)(jax.random.key(0))
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)), jnp.float32)
    np.testing.assert_allclose(_jit(network.apply)(params, inputs), inputs @ params["head"]["w"], rtol=1e-5)

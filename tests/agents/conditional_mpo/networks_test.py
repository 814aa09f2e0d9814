"""Tests of agents.conditional_mpo.networks: conditioning on members, and inputs and outputs."""

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.conditional_mpo.conditioning import make_contexts
from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.conditional_mpo.networks import MPONetworks, Network, WithAction, make_networks
from agents.conditional_mpo.presets import PRESETS
from agents.core import Bounds, Observation

# Compilation takes most of these tests' time, so XLA is asked to optimise as little as it can.
_jit: Any = functools.partial(
    jax.jit,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)

_NUM_MEMBERS, _NUM_ACTIONS = 4, 3
_CONFIG = dataclasses.replace(
    PRESETS["acme"],
    policy_hidden_sizes=(7, 8),
    critic_hidden_sizes=(9, 6),
    num_members=_NUM_MEMBERS,
    embedding_size=5,
    mixture_size=2,
)
_PLAIN = dataclasses.replace(PRESETS["acme"], policy_hidden_sizes=(7, 8), critic_hidden_sizes=(9, 6))
_BOUNDS = Bounds(jnp.array([-1.0, 0.0]), jnp.array([1.0, 5.0]))
_ROWS = {"position": jnp.zeros((1, 2)), "speed": jnp.zeros((1, 2, 3)), "contact": jnp.zeros((1,), int)}


def _observe(members: Any, seed: int = 0, config: ConditionalMPOConfig = _CONFIG) -> Observation:
    random = np.random.default_rng(seed)
    num = len(members)
    mixtures = random.dirichlet(np.ones(2), num) if config.mixture_size else None
    return Observation(
        jnp.asarray(random.normal(size=(num, 4)), jnp.float32),
        jnp.ones((num, _NUM_ACTIONS), bool),
        jnp.asarray(make_contexts(config, members, mixtures)),
    )


_DISCRETE = make_networks(_observe([0]), _NUM_ACTIONS, _CONFIG)
_CONTINUOUS = make_networks(_observe([0]), _BOUNDS, _CONFIG)


def _inputs(network: str, members: Any, seed: int = 0) -> tuple[Network, Any]:
    """Returns a network by name, and random inputs for it."""
    kind, name = network.split()
    made = _DISCRETE if kind == "discrete" else _CONTINUOUS
    observation = _observe(members, seed)
    if network != "continuous critic":
        return getattr(made, name), observation
    action = np.random.default_rng(seed + 1).uniform(-1, 1, (len(members), 2))
    return made.critic, WithAction(observation, jnp.asarray(action, jnp.float32))


def _init(network: Network, seed: int = 0) -> Any:
    """Returns parameters, with noise added because some begin with zeros, which would hide errors."""
    params = _jit(network.init)(jax.random.key(seed))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    moved = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, moved)


_EVERY = ["discrete policy", "discrete critic", "discrete value", "continuous policy", "continuous critic"]


@pytest.mark.parametrize(
    ("network", "width", "num_outputs"),
    [
        ("discrete policy", (4 + 5 + 2, 7, 8), 3),
        ("discrete critic", (4 + 5 + 2, 9, 6), 3),
        ("discrete value", (4 + 5 + 2, 9, 6), 1),
        ("continuous policy", (4 + 5 + 2, 7, 8), 4),
        ("continuous critic", (4 + 5 + 2 + 2, 9, 6), 1),
        ("continuous value", (4 + 5 + 2, 9, 6), 1),
    ],
)
def test_networks_see_the_embedding_and_the_mixture_beside_what_is_observed(
    network: str, width: tuple[int, ...], num_outputs: int
) -> None:
    made, inputs = _inputs(network, [0, 1, 3, 3, 2])
    params = _jit(made.init)(jax.random.key(0))
    shapes = {tuple(leaf["w"].shape) for leaf in params.values() if "w" in leaf}
    assert shapes == {*itertools.pairwise(width), (width[-1], num_outputs)}
    assert params["embed"]["embeddings"].shape == (_NUM_MEMBERS, 5)
    assert _jit(made.apply)(params, inputs).shape == (5, num_outputs)


@pytest.mark.parametrize("part", ["info_state", "member", "mixture", "action"])
def test_a_critic_of_continuous_actions_tells_all_its_inputs_apart(part: str) -> None:
    made, (observation, action) = _inputs("continuous critic", [1, 2])
    info_state, context = observation.info_state, observation.context
    changed = {
        "info_state": (observation._replace(info_state=info_state.at[0, 3].add(1.0)), action),
        "member": (observation._replace(context=context.at[0, 0].set(3.0)), action),
        "mixture": (observation._replace(context=context.at[0, 2].add(0.5)), action),
        "action": (observation, action.at[0, 1].add(0.5)),
    }[part]
    params = _init(made)
    before, after = (
        _jit(made.apply)(params, inputs) for inputs in (WithAction(observation, action), WithAction(*changed))
    )
    assert abs(before[0, 0] - after[0, 0]) > 1e-4
    np.testing.assert_array_equal(before[1], after[1])


@pytest.mark.parametrize("network", _EVERY)
def test_an_output_does_not_depend_on_which_other_members_are_in_the_batch(network: str) -> None:
    made, mine = _inputs(network, [2, 2, 0, 1])
    _, other = _inputs(network, [2, 3, 3, 0], seed=9)
    # Only the first row is the same in both batches.
    mixed = jax.tree.map(lambda one, two: jnp.concatenate([one[:1], 1e3 * two[1:]]), mine, other)
    mixed = jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), mixed, mine)
    params, apply = _init(made), _jit(made.apply)
    np.testing.assert_array_equal(apply(params, mine)[0], apply(params, mixed)[0])
    alone = apply(params, jax.tree.map(lambda leaf: leaf[:1], mine))
    np.testing.assert_allclose(apply(params, mine)[:1], alone, rtol=1e-5, atol=1e-6)


def _embedding_gradient(network: Network, params: Any, inputs: Any) -> np.ndarray:
    def loss(params: Any) -> jax.Array:
        return jnp.sum(jnp.square(network.apply(params, inputs) - 1.0))

    return np.asarray(_jit(jax.grad(loss))(params)["embed"]["embeddings"])


@pytest.mark.parametrize("network", _EVERY)
def test_data_of_one_member_has_no_gradient_in_the_embedding_of_another(network: str) -> None:
    made, inputs = _inputs(network, [2, 2, 0])
    gradient = _embedding_gradient(made, _init(made), inputs)
    assert (np.abs(gradient[[0, 2]]).max(axis=1) > 1e-3).all()
    np.testing.assert_array_equal(gradient[[1, 3]], 0.0)


@pytest.mark.parametrize("network", _EVERY)
def test_changing_data_of_one_member_changes_no_gradient_in_the_embedding_of_another(network: str) -> None:
    made, inputs = _inputs(network, [2, 0, 2, 0])
    _, other = _inputs(network, [2, 0, 2, 0], seed=9)
    changed = jax.tree.map(lambda one, two: one.at[1::2].set(two[1::2]), inputs, other)
    params = _init(made)
    before, after = (_embedding_gradient(made, params, batch) for batch in (inputs, changed))
    assert np.abs(before[0] - after[0]).max() > 1e-3
    np.testing.assert_array_equal(before[1:], after[1:])


def test_members_are_told_apart_by_their_embedding_alone() -> None:
    observation = _observe([0, 1])
    same = jax.tree.map(lambda leaf: leaf.at[1].set(leaf[0]), observation)
    same = same._replace(context=same.context.at[1, 0].set(1.0))
    params = _init(_DISCRETE.policy)
    output = _jit(_DISCRETE.policy.apply)(params, same)
    assert np.abs(output[0] - output[1]).max() > 1e-4
    params["embed"]["embeddings"] = params["embed"]["embeddings"].at[1].set(params["embed"]["embeddings"][0])
    output = _jit(_DISCRETE.policy.apply)(params, same)
    np.testing.assert_allclose(output[0], output[1], rtol=1e-6)


@pytest.mark.parametrize("made", [_DISCRETE, _CONTINUOUS])
def test_policies_begin_nearly_alike_everywhere_and_critics_do_not(made: MPONetworks) -> None:
    observation = _observe([0, 1, 2, 3] * 8)
    policy, value = (
        _jit(network.apply)(_jit(network.init)(jax.random.key(0)), observation)
        for network in (made.policy, made.value)
    )
    assert 0 < np.abs(policy).max() < 0.05
    assert np.std(value) > 0.02


def test_two_keys_give_two_networks_and_one_key_gives_one() -> None:
    one, same, other = (_jit(_DISCRETE.policy.init)(jax.random.key(seed)) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    assert np.abs(one["embed"]["embeddings"] - other["embed"]["embeddings"]).min() > 0


def test_critics_give_all_atoms_of_an_action_side_by_side() -> None:
    config = dataclasses.replace(PRESETS["acme"], critic_hidden_sizes=(9,), num_atoms=5)
    observation = _observe([0, 0], config=config)
    discrete = make_networks(_observe([0], config=config), _NUM_ACTIONS, config)
    continuous = make_networks(_observe([0], config=config), _BOUNDS, config)
    action = jnp.zeros((2, 2))
    for network, inputs, num in (
        (discrete.critic, observation, 3 * 5),
        (continuous.critic, WithAction(observation, action), 5),
        (continuous.value, observation, 1),
    ):
        params = _jit(network.init)(jax.random.key(0))
        assert _jit(network.apply)(params, inputs).shape == (2, num)


def test_plain_arrays_are_seen_whole_where_there_is_no_context() -> None:
    made = make_networks(_ROWS, _BOUNDS, _PLAIN)
    assert made.bounds is not None
    jax.tree.map(np.testing.assert_array_equal, made.bounds, _BOUNDS)
    rows = jax.tree.map(lambda leaf: jnp.ones((8, *leaf.shape[1:]), leaf.dtype), _ROWS)
    # An observation has 2 + 2 * 3 + 1 numbers; the critic also gets the 2 numbers of an action.
    for network, inputs, num_inputs, num_outputs in (
        (made.policy, rows, 9, 4),
        (made.critic, WithAction(rows, jnp.zeros((8, 2))), 11, 1),
        (made.value, rows, 9, 1),
    ):
        params = _jit(network.init)(jax.random.key(0))
        assert params["linear"]["w"].shape[0] == num_inputs
        assert _jit(network.apply)(params, inputs).shape == (8, num_outputs)


@pytest.mark.parametrize(
    ("example", "config", "says"),
    [
        (_observe([0]), ConditionalMPOConfig(), "3 numbers of context.* ask for 0"),
        (
            _observe([0]),
            dataclasses.replace(PRESETS["acme"], num_members=4),
            "3 numbers of context.* ask for 1",
        ),
        (_observe([0], config=_PLAIN), _CONFIG, "0 numbers of context.* ask for 3"),
        (jnp.zeros((1, 4)), _CONFIG, "0 numbers of context.*num_members 4 and mixture_size 2 ask for 3"),
    ],
)
@pytest.mark.parametrize("actions", [_NUM_ACTIONS, _BOUNDS])
def test_a_context_that_does_not_fit_is_refused(
    example: Any, config: ConditionalMPOConfig, says: str, actions: int | Bounds
) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        make_networks(example, actions, config)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [([-1.0, -np.inf], [1.0, 1.0], "finite bounds"), ([-1.0, 1.0], [1.0, -1.0], "must be below")],
)
def test_bounds_that_make_no_sense_are_refused(low: Any, high: Any, says: str) -> None:
    bounds: Any = Bounds(np.array(low), np.array(high))
    with pytest.raises(ValueError, match=says):
        make_networks(_ROWS, bounds, _PLAIN)

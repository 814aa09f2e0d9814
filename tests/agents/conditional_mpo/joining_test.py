"""Tests of agents.conditional_mpo.joining: what a new member takes over, and what begins anew."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.conditional_mpo import PRESETS, make_core, make_networks
from agents.core import AgentCore, Joining, Observation

_NUM_ACTIONS = 3
_CHANGES: dict[str, Any] = {"policy_hidden_sizes": (8, 6), "critic_hidden_sizes": (4,), "embedding_size": 5}


def _make(preset: str = "games", **changes: Any) -> AgentCore:
    config = dataclasses.replace(PRESETS[preset], **{**_CHANGES, "num_members": 1, **changes})
    context = jnp.zeros((1, config.context_size))
    example = Observation(jnp.zeros((1, 4)), jnp.ones((1, _NUM_ACTIONS), bool), context)
    return make_core(make_networks(example, _NUM_ACTIONS, config), config)


def _joining(core: AgentCore) -> Joining:
    assert core.joining is not None
    return core.joining


def _assert_same(one: Any, other: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("preset", ["games", "vmpo_games"])
def test_a_member_that_takes_over_what_it_would_begin_with_changes_nothing(preset: str) -> None:
    core = _make(preset)
    fresh = core.init(jax.random.key(3))
    _assert_same(_joining(core).join(jax.random.key(3), _joining(core).leave(fresh)), fresh)


def test_hidden_layers_stay_and_last_layers_begin_anew() -> None:
    core = _make()
    old, fresh = core.init(jax.random.key(0)), core.init(jax.random.key(1))
    moved = old._replace(step=jnp.int32(9), key=jnp.zeros(2, jnp.uint32))
    member = {"policy": jnp.arange(5.0), "critic": -jnp.arange(5.0)}
    left = _joining(core).leave(moved)
    state = _joining(core).join(jax.random.key(1), left._replace(member=member))
    for name in ("policy", "critic"):
        params, before, new = (getattr(each, name) for each in (state, old, fresh))
        assert set(params) == set(before)
        for module in params:
            if module == "head":
                _assert_same(params[module], new[module])
            elif module == "embed":
                np.testing.assert_array_equal(params[module]["embeddings"], member[name][None])
            else:
                _assert_same(params[module], before[module])
        _assert_same(getattr(state, f"target_{name}"), params)
    for name in ("policy_optimiser", "critic_optimiser", "duals", "duals_optimiser", "key", "step"):
        _assert_same(getattr(state, name), getattr(fresh, name))


def test_a_fresh_last_layer_plays_evenly_whatever_was_learned() -> None:
    """Old policies may be deterministic, and then there would be nothing to explore with."""
    core = _make()
    state = core.init(jax.random.key(0))
    strong = {**state.policy, "head": {**state.policy["head"], "b": jnp.array([99.0, 0.0, 0.0])}}
    state = state._replace(policy=strong, target_policy=strong)
    seen = Observation(jnp.ones((1, 4)), jnp.ones((1, _NUM_ACTIONS), bool), jnp.zeros((1, 1)))
    assert core.probs(core.variables(state), seen)[0, 0] > 0.99
    joined = _joining(core).join(jax.random.key(1), _joining(core).leave(state))
    np.testing.assert_allclose(core.probs(core.variables(joined), seen)[0], 1 / 3, atol=0.01)


@pytest.mark.parametrize("num_members", [0, 2])
def test_only_a_network_of_one_member_can_be_joined(num_members: int) -> None:
    assert _make(num_members=num_members).joining is None

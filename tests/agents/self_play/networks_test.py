"""Network of the self-play agent: masks, players, and the torso that policy and value may share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.core import Bounds, Observation
from agents.self_play import SelfPlayConfig, make_networks

_LEGAL = jnp.array([[True, True, False], [False, True, False]])


def _observation(context: jax.Array) -> Observation:
    return Observation(jnp.ones((2, 4)), _LEGAL, context)


@pytest.mark.parametrize("shared", [False, True])
def test_policy_is_a_distribution_over_legal_actions(shared: bool) -> None:
    config = SelfPlayConfig(hidden_sizes=(8, 8), shared_torso=shared)
    observation = _observation(jnp.eye(2))
    networks = make_networks(observation, 3, config)
    output = networks.apply(networks.init(jax.random.key(0)), observation)
    probs = jnp.exp(output.log_probs)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(probs[~_LEGAL], 0.0)
    # The first policy is almost uniform.
    np.testing.assert_allclose(probs[0, :2], 0.5, atol=0.02)
    assert output.value.shape == (2,)


def test_players_are_told_apart() -> None:
    networks = make_networks(_observation(jnp.eye(2)), 3, SelfPlayConfig(hidden_sizes=(8,)))
    params = networks.init(jax.random.key(0))
    both = networks.apply(params, _observation(jnp.eye(2)))
    same = networks.apply(params, _observation(jnp.ones((2, 2))))
    assert float(both.value[0]) != float(both.value[1])
    assert float(same.value[0]) == float(same.value[1])


def test_a_shared_torso_has_fewer_parameters() -> None:
    observation = _observation(jnp.eye(2))
    sizes = []
    for shared in (False, True):
        config = SelfPlayConfig(hidden_sizes=(8, 8), shared_torso=shared)
        params = make_networks(observation, 3, config).init(jax.random.key(0))
        sizes.append(sum(leaf.size for leaf in jax.tree.leaves(params)))
    assert sizes[1] < sizes[0]


def test_continuous_actions_are_refused() -> None:
    with pytest.raises(ValueError, match="discrete actions only"):
        make_networks(_observation(jnp.eye(2)), Bounds(-jnp.ones(2), jnp.ones(2)), SelfPlayConfig())

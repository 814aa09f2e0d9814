"""Tests of agents.crossq.learning: learned temperatures, as part of whole updates."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.core import AgentCore, Observation, join
from agents.crossq import PRESETS, Bounds, CrossQConfig, CrossQNetworks, make_core, make_networks, networks

# Compilation takes most of these tests' time, so XLA is asked to optimise as little as it can.
_jit: Any = functools.partial(
    jax.jit,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)


def _game_core(target_entropy: float, logit: float) -> AgentCore:
    """Makes an agent for three actions, whose policy prefers the first by a fixed logit."""

    def apply(params: Any, stats: Any, rows: Observation, *_: Any) -> tuple[jax.Array, Any]:
        return jnp.tile(params, (rows.info_state.shape[0], 1)), stats

    network = networks.Network(lambda key: (jnp.array([logit, 0.0, 0.0]), ()), apply)
    config = dataclasses.replace(PRESETS["games"], learn_temperature=True, policy_delay=3)
    config = dataclasses.replace(config, target_entropy=target_entropy)
    return make_core(CrossQNetworks(network, network), config)


@pytest.mark.parametrize(("target", "logit", "falls"), [(0.7, 0.0, True), (0.7, 5.0, False)])
def test_a_learned_temperature_steers_discrete_actions_to_a_share_of_all_entropy(
    target: float, logit: float, falls: bool
) -> None:
    legal = jnp.array([[True, True, True], [True, True, False]])
    rows = Observation(jnp.eye(2), legal, jnp.zeros((2, 0)))
    batch = join(rows, jnp.array([0, 1]), jnp.ones(2), jnp.zeros(2), rows)
    core = _game_core(target, logit)
    state, update, values = core.init(jax.random.key(0)), _jit(core.update), []
    for _ in range(3):
        state, metrics = update(state, batch)
        values.append(float(metrics["temperature"]))
    np.testing.assert_allclose(values[:2], 0.1, rtol=1e-6)
    # The length of Adam's first step is the learning rate.
    np.testing.assert_allclose(np.log(values[2] / 0.1), -1e-3 if falls else 1e-3, rtol=1e-2)


@pytest.mark.parametrize("target", [-1.0, -0.01, 1.01])
def test_a_target_that_no_policy_over_discrete_actions_meets_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match=r"target_entropy.*\[0, 1\].*learn_temperature=False") as refusal:
        _game_core(target, 0.0)
    assert "\n" not in str(refusal.value)


def test_discrete_actions_may_have_any_target_where_it_is_not_used() -> None:
    assert PRESETS["games"].target_entropy == -1.0
    rows = Observation(jnp.zeros((1, 2)), jnp.ones((1, 3), bool), jnp.zeros((1, 0)))
    make_core(make_networks(rows, 3, PRESETS["games"]), PRESETS["games"])


@pytest.mark.long
@pytest.mark.parametrize(
    "normalisation", ["batch_renorm", pytest.param("batch_norm", marks=pytest.mark.slow)]
)
def test_a_continuous_bandit_is_solved_from_every_seed(normalisation: str) -> None:
    """Actions in [-2, 1] are drawn uniformly, and the reward is -(a - 0.3)^2."""
    steps, num = 600, 64
    config = CrossQConfig(
        critic_hidden_sizes=(16,),
        policy_hidden_sizes=(4,),
        learning_rate=0.01,
        final_learning_rate=0.001,
        horizon=steps,
        policy_delay=1,
        temperature=0.1,
        normalisation=normalisation,
        renorm_warmup=50,
        renorm_momentum=0.95,
    )
    rows = jnp.ones((num, 1))
    core = make_core(make_networks(rows[:1], Bounds(jnp.array([-2.0]), jnp.array([1.0])), config), config)

    def one(states: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        action = jax.random.uniform(key, (num, 1), minval=-2.0, maxval=1.0)
        reward = -jnp.square(action[:, 0] - 0.3)
        batch = join(rows, action, reward, jnp.zeros(num), rows)
        states, metrics = jax.vmap(core.update, in_axes=(0, None))(states, batch)
        return states, metrics["entropy"]

    @_jit
    def train() -> tuple[jax.Array, jax.Array]:
        states = jax.vmap(core.init)(jax.random.split(jax.random.key(0), 3))
        states, entropy = jax.lax.scan(one, states, jax.random.split(jax.random.key(1), steps))
        perform = jax.vmap(lambda state: core.perform(core.variables(state), jax.random.key(0), rows[:1]))
        return perform(states), entropy

    actions, entropies = train()
    np.testing.assert_allclose(actions[:, 0, 0], 0.3, atol=0.2)
    # The learned temperature has brought the entropy to its target of -1 nat; a uniform policy has 0.69 nats.
    np.testing.assert_allclose(np.nanmean(entropies[-200:], axis=0), -1.0, atol=0.35)

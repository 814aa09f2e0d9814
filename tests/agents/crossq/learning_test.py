"""Tests of agents.crossq.learning: CrossQ with discrete actions as an agent."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.core import AgentCore, Observation, Transition, join
from agents.crossq import PRESETS, CrossQConfig, CrossQNetworks, make_core, make_networks, networks

# Compilation takes most of these tests' time, so XLA is asked to optimise as little as it can.
_jit: Any = functools.partial(
    jax.jit,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)

_CONFIG = dataclasses.replace(
    PRESETS["games"],
    critic_hidden_sizes=(8,),
    policy_hidden_sizes=(8,),
    policy_delay=3,
    discount=1.0,
    horizon=300,
    learning_rate=0.02,
    final_learning_rate=1e-4,
    temperature=0.5,
    final_temperature=0.005,
    renorm_warmup=50,
    renorm_momentum=0.9,
)
_EXAMPLE = Observation(jnp.zeros((1, 4)), jnp.ones((1, 3), bool), jnp.zeros((1, 0)))


def _observations(num: int) -> Observation:
    rng = np.random.default_rng(num)
    legal = rng.random((num, 3)) < 0.6
    legal[np.arange(num), rng.integers(3, size=num)] = True
    return Observation(
        jnp.asarray(rng.normal(size=(num, 4)), jnp.float32), jnp.asarray(legal), jnp.zeros((num, 0))
    )


def _batch(num: int = 6) -> Transition:
    now, then = (
        jax.tree.map(lambda rows, part=part: rows[part], _observations(2 * num))
        for part in (slice(0, num), slice(num, None))
    )
    action = jnp.argmax(now.legal_actions, axis=1)
    rng = np.random.default_rng(0)
    reward = jnp.asarray(rng.normal(size=num), jnp.float32)
    return join(now, action, reward, jnp.asarray(rng.integers(0, 2, size=num), jnp.float32), then)


@functools.cache
def _core() -> AgentCore:
    core = make_core(make_networks(_EXAMPLE, 3, _CONFIG), _CONFIG)
    return core._replace(
        init=_jit(core.init), update=_jit(core.update), act=_jit(core.act), probs=_jit(core.probs)
    )


def _equal(one: Any, other: Any) -> bool:
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, one, other)))


@functools.cache
def _states() -> list[Any]:
    """Returns the state before the first of six updates and after each of them."""
    states = [_core().init(jax.random.key(0))]
    for _ in range(6):
        states.append(_core().update(states[-1], _batch())[0])
    return states


def test_an_update_counts_and_reports_finite_numbers() -> None:
    state, metrics = _core().update(_states()[2], _batch())
    assert int(state.step) == 3
    assert {"critic_loss", "q", "policy_loss", "entropy", "temperature"} == set(metrics)
    assert all(np.isfinite(value) and value.shape == () for value in metrics.values())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


def test_critics_move_in_every_update_and_the_policy_in_every_third() -> None:
    pairs = list(zip(_states()[:-1], _states()[1:], strict=True))
    critic = [not _equal(before.critic_params, after.critic_params) for before, after in pairs]
    policy = [not _equal(before.policy_params, after.policy_params) for before, after in pairs]
    momentum = [not _equal(before.policy_optimiser, after.policy_optimiser) for before, after in pairs]
    assert critic == [True] * 6
    assert policy == momentum == [False, False, True] * 2


def test_statistics_change_where_a_network_is_trained() -> None:
    pairs = list(zip(_states()[:-1], _states()[1:], strict=True))
    assert all(not _equal(before.critic_stats, after.critic_stats) for before, after in pairs)
    policy = [not _equal(before.policy_stats, after.policy_stats) for before, after in pairs]
    assert policy == [False, False, True] * 2
    counts = [int(leaf["count"]) for leaf in _states()[-1].policy_stats.values()]
    assert counts == [2]


def test_acting_uses_running_statistics_so_that_company_does_not_matter() -> None:
    core, rows = _core(), _observations(5)
    variables = core.variables(_states()[-1])
    together = core.probs(variables, rows)
    alone = [
        core.probs(variables, jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], rows))[0] for i in range(5)
    ]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    changed = jax.tree.map(lambda leaf: leaf + 1, variables.stats)
    assert np.abs(core.probs(variables._replace(stats=changed), rows) - together).max() > 1e-3


def test_probabilities_are_exactly_zero_on_illegal_actions_and_sum_to_one() -> None:
    rows = _observations(20)
    probs = np.asarray(_core().probs(_core().variables(_states()[-1]), rows))
    assert (probs[~np.asarray(rows.legal_actions)] == 0.0).all()
    assert (probs[np.asarray(rows.legal_actions)] > 0.0).all()
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, rtol=1e-5)


def test_where_nothing_is_legal_nothing_is_nan() -> None:
    rows = _observations(6)._replace(legal_actions=jnp.zeros((6, 3), bool))
    variables = _core().variables(_states()[-1])
    np.testing.assert_array_equal(_core().probs(variables, rows), np.zeros((6, 3)))
    assert np.isin(_core().act(variables, jax.random.key(0), rows), [0, 1, 2]).all()
    now = _observations(6)
    ended = join(now, jnp.argmax(now.legal_actions, axis=1), jnp.ones(6), jnp.zeros(6), rows)
    state, metrics = _core().update(_states()[2], ended)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state, metrics)))


def _fixed_policy(logits: list[float], exploration: float) -> AgentCore:
    """Makes an agent whose policy has the given logits at every observation."""

    def apply(params: Any, stats: Any, observation: Observation, *_: Any) -> tuple[jax.Array, Any]:
        return jnp.tile(params, (observation.info_state.shape[0], 1)), stats

    network = networks.Network(init=lambda key: (jnp.array(logits), ()), apply=apply)
    core = make_core(CrossQNetworks(network, network), dataclasses.replace(_CONFIG, exploration=exploration))
    return core._replace(act=_jit(core.act), perform=_jit(core.perform))


@pytest.mark.parametrize(
    ("exploration", "expected"),
    [(0.0, [0.2, 0.0, 0.8]), (0.3, [0.29, 0.0, 0.71]), (1.0, [0.5, 0.0, 0.5])],
)
def test_acting_explores_evenly_among_legal_actions_as_often_as_asked_and_only_then(
    exploration: float, expected: list[float]
) -> None:
    num = 40_000
    core = _fixed_policy([0.0, 5.0, float(np.log(4.0))], exploration)
    legal = jnp.tile(jnp.array([True, False, True]), (num, 1))
    rows = Observation(jnp.zeros((num, 4)), legal, jnp.zeros((num, 0)))
    variables = core.variables(core.init(jax.random.key(0)))
    # In evaluation mode, the policy does not explore.
    for act, shares in ((core.act, expected), (core.perform, [0.2, 0.0, 0.8])):
        actions = act(variables, jax.random.key(1), rows)
        assert actions.shape == (num,)
        frequencies = np.bincount(actions, minlength=3) / num
        assert frequencies[1] == 0.0
        # Four standard deviations of a frequency are at most 4 * 0.5 / 200.
        np.testing.assert_allclose(frequencies, shares, atol=0.01)


def test_acting_depends_on_the_key() -> None:
    core = _fixed_policy([0.0, 0.0, 0.0], 0.0)
    rows = Observation(jnp.zeros((50, 4)), jnp.ones((50, 3), bool), jnp.zeros((50, 0)))
    variables = core.variables(core.init(jax.random.key(0)))
    first, again, other = (core.act(variables, jax.random.key(seed), rows) for seed in (1, 1, 2))
    assert _equal(first, again)
    assert not _equal(first, other)


def test_the_temperature_of_an_update_is_that_of_its_step() -> None:
    _, metrics = _core().update(_states()[0]._replace(step=jnp.int32(150)), _batch())
    np.testing.assert_allclose(metrics["temperature"], 0.05, rtol=1e-5)


def _largest_moves(config: CrossQConfig, updates: int) -> list[float]:
    """Returns, for each update, the largest distance that any parameter of the critics moved."""
    core = make_core(make_networks(_EXAMPLE, 3, config), config)
    init, update = _jit(core.init), _jit(core.update)
    state, moves = init(jax.random.key(0)), []
    for _ in range(updates):
        before, (state, _) = state.critic_params, update(state, _batch())
        moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), before, state.critic_params)
        moves.append(max(jax.tree.leaves(moved)))
    return moves


def test_the_learning_rate_falls_linearly_over_the_horizon() -> None:
    # With both decays 0, Adam moves every parameter by the learning rate, up to its epsilon.
    config = dataclasses.replace(_CONFIG, adam_b1=0.0, adam_b2=0.0, horizon=4, learning_rate=0.01)
    moves = _largest_moves(dataclasses.replace(config, final_learning_rate=0.002), 5)
    np.testing.assert_allclose(moves, [0.01, 0.008, 0.006, 0.004, 0.002], rtol=2e-3)


def test_the_key_decides_where_learning_begins() -> None:
    first, again, other = (_core().init(jax.random.key(seed)) for seed in (0, 0, 1))
    assert _equal(first, again)
    for name in ("policy_params", "critic_params"):
        assert not _equal(getattr(first, name), getattr(other, name))


def test_critics_begin_differently() -> None:
    weights = [leaf for leaf in jax.tree.leaves(_states()[0].critic_params) if leaf.ndim == 3]
    assert weights
    assert all(leaf.shape[0] == 2 and not _equal(leaf[0], leaf[1]) for leaf in weights)


def _train(core: AgentCore, batch_of: Callable[[jax.Array], Transition], steps: int) -> Any:
    """Returns the state after updates on the batches that `batch_of` makes from random keys."""

    def one(state: Any, key: jax.Array) -> tuple[Any, None]:
        return core.update(state, batch_of(key))[0], None

    keys = jax.random.split(jax.random.key(1), steps)
    return _jit(lambda: jax.lax.scan(one, core.init(jax.random.key(0)), keys)[0])()


@pytest.mark.long
def test_a_bandit_is_solved() -> None:
    """One state with three legal actions of four, whose rewards are 0, 1 and 0.5."""
    config = dataclasses.replace(_CONFIG, policy_delay=1)
    rows = Observation(
        jnp.ones((32, 2)), jnp.tile(jnp.array([True, True, True, False]), (32, 1)), jnp.zeros((32, 0))
    )
    row = jax.tree.map(lambda leaf: leaf[:1], rows)
    made = make_networks(row, 4, config)
    core = make_core(made, config)

    def batch_of(key: jax.Array) -> Transition:
        action = jax.random.randint(key, (32,), 0, 3)
        return join(rows, action, jnp.array([0.0, 1.0, 0.5])[action], jnp.zeros(32), rows)

    state = _train(core, batch_of, 300)
    probs = _jit(core.probs)(core.variables(state), row)[0]
    assert float(probs[1]) > 0.97
    assert float(probs[3]) == 0.0
    evaluate = _jit(functools.partial(networks.apply_critics, made.critic), static_argnums=4)
    q, _ = evaluate(state.critic_params, state.critic_stats, row, jnp.ones(1), False)
    np.testing.assert_allclose(q[:, 0, :3], np.tile([0.0, 1.0, 0.5], (2, 1)), atol=0.05)


def test_values_flow_back_through_a_chain() -> None:
    """Two states, in which the larger reward comes later.

    In state 0, action 0 leads to state 1 and action 1 pays 0.3 and ends the episode. In state 1, both actions
    end the episode and only action 1 pays 1.
    """
    config = dataclasses.replace(_CONFIG, policy_delay=1, discount=0.5, horizon=500)
    states = Observation(jnp.eye(2), jnp.ones((2, 2), bool), jnp.zeros((2, 0)))
    made = make_networks(jax.tree.map(lambda leaf: leaf[:1], states), 2, config)
    core = make_core(made, config)
    reward, discount = jnp.array([[0.0, 0.3], [0.0, 1.0]]), jnp.array([[1.0, 0.0], [0.0, 0.0]])

    def batch_of(key: jax.Array) -> Transition:
        state, action = jax.random.randint(key, (2, 64), 0, 2)
        ones = jnp.ones(64)
        then = jnp.ones(64, int)
        return Transition(states, state, then, action, reward[state, action], discount[state, action], ones)

    state = _train(core, batch_of, 500)
    # To continue is worth the discounted 0.5 * 1, which is more than 0.3.
    np.testing.assert_allclose(_jit(core.probs)(core.variables(state), states), [[1, 0], [0, 1]], atol=0.05)
    evaluate = _jit(functools.partial(networks.apply_critics, made.critic), static_argnums=4)
    q, _ = evaluate(state.critic_params, state.critic_stats, states, jnp.ones(2), False)
    np.testing.assert_allclose(q.mean(axis=0), [[0.5, 0.3], [0.0, 1.0]], atol=0.05)

"""Updates of the self-play agent: gradient steps, magnets, schedules, and minibatches of one decision."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from agents.core import Observation
from agents.networks import take_rows
from agents.self_play import PRESETS, Rollout, SelfPlayConfig, SelfPlayCore, make_core, make_networks
from agents.self_play.state import SelfPlayState, schedule

_SMALL = dataclasses.replace(
    PRESETS["mmd_constant"], hidden_sizes=(8,), minibatches=2, epochs=2, learning_rate=0.01
)
_NUM_ACTIONS, _PLAYERS = 3, 2


def _observation(rows: int) -> Observation:
    key = jax.random.key(7)
    legal = jnp.ones((rows, _NUM_ACTIONS), bool).at[::2, 2].set(False)
    context = jnp.eye(_PLAYERS)[jnp.arange(rows) % _PLAYERS]
    return Observation(jax.random.normal(key, (rows, 4)), legal, context)


def _make_core(config: SelfPlayConfig = _SMALL) -> SelfPlayCore:
    return make_core(make_networks(_observation(1), _NUM_ACTIONS, config), config)


def _rollout(core: SelfPlayCore, state: SelfPlayState, decisions: int = 4, games: int = 3) -> Rollout:
    """Returns decisions of alternating players, in games that end after every second decision."""
    observation = _observation(6)
    key, action_key = jax.random.split(jax.random.key(3))
    row = jax.random.randint(key, (decisions, games), 0, 6)
    output = core.evaluate(state.params, observation)
    steps = jnp.arange(decisions)[:, None] + jnp.zeros((1, games), jnp.int32)
    won = jnp.sin(row.astype(jnp.float32))
    return Rollout(
        observation=observation,
        row=row,
        player=steps % _PLAYERS,
        action=jax.random.randint(action_key, (decisions, games), 0, 2),
        log_probs=output.log_probs[row],
        value=output.value[row],
        reward=jnp.stack([won, -won], axis=-1),
        ended=steps % 2 == 1,
    )


def _is_finite(tree: object) -> bool:
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", PRESETS)
def test_minibatches_of_one_decision_are_learned_from(name: str) -> None:
    """The advantage of a single decision has no deviation by which it could be divided."""
    core = _make_core(dataclasses.replace(PRESETS[name], hidden_sizes=(8,), minibatches=12))
    state = core.init(jax.random.key(0))
    learned, metrics = core.update(state, _rollout(core, state))
    assert _is_finite(learned.params) and _is_finite(metrics)
    before, after = (ravel_pytree(each.params)[0] for each in (state, learned))
    assert not np.allclose(before, after)
    assert (int(learned.updates), int(learned.decisions)) == (1, 12)


def test_a_rollout_of_one_decision_is_finite() -> None:
    """Its outcome is unknown, so it has no weight at all."""
    core = _make_core(dataclasses.replace(_SMALL, minibatches=1))
    state = core.init(jax.random.key(0))
    rollout = jax.tree.map(lambda leaf: leaf[:1, :1], _rollout(core, state)._replace(observation=None))
    learned, _ = core.update(state, rollout._replace(observation=_observation(6)))
    assert _is_finite(learned.params)


def test_update_is_pure() -> None:
    core = _make_core()
    state = core.init(jax.random.key(0))
    rollout = _rollout(core, state)
    first, second = (core.update(state, rollout)[0] for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert (np.asarray(first.key) != np.asarray(state.key)).any()


def test_shared_rows_learn_the_same_as_a_row_for_each_decision() -> None:
    """With few observations the network sees each once, otherwise those of the minibatch."""
    core = _make_core()
    state = core.init(jax.random.key(0))
    rollout = _rollout(core, state)
    alone = rollout._replace(
        observation=take_rows(rollout.observation, rollout.row.reshape(-1)),
        row=jnp.arange(12).reshape(rollout.row.shape),
    )
    # Six rows are no more than the six decisions of a minibatch; twelve are.
    shared, apart = core.update(state, rollout)[0], core.update(state, alone)[0]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), shared.params, apart.params
    )


def test_the_better_action_becomes_more_probable() -> None:
    """Both decisions are at one observation, and the first action pays."""
    core = _make_core(dataclasses.replace(_SMALL, minibatches=1, entropy=0.0, learning_rate=0.003))
    state = core.init(jax.random.key(0))
    rollout = _rollout(core, state, decisions=2, games=2)
    row = jnp.zeros((2, 2), jnp.int32)
    output = core.evaluate(state.params, rollout.observation)
    rollout = rollout._replace(
        row=row,
        player=row,
        action=jnp.array([[0, 1], [0, 1]]),
        log_probs=output.log_probs[row],
        value=output.value[row],
        reward=jnp.array([[[1.0, -1.0], [-1.0, 1.0]]] * 2),
        ended=jnp.ones((2, 2), bool),
    )
    learned, _ = core.update(state, rollout)
    after = core.evaluate(learned.params, rollout.observation)
    assert float(after.log_probs[0, 0]) > float(output.log_probs[0, 0])


def test_the_magnet_is_replaced_when_it_is_due() -> None:
    core = _make_core(dataclasses.replace(_SMALL, magnet=0.2, magnet_period=2))
    states = [core.init(jax.random.key(0))]
    for _ in range(3):
        states.append(core.update(states[-1], _rollout(core, states[-1]))[0])
    jax.tree.map(np.testing.assert_array_equal, states[1].magnet, states[0].params)
    jax.tree.map(np.testing.assert_array_equal, states[2].magnet, states[2].params)
    jax.tree.map(np.testing.assert_array_equal, states[3].magnet, states[2].params)


def test_an_averaged_magnet_lags_behind() -> None:
    core = _make_core(dataclasses.replace(_SMALL, magnet=0.2, magnet_period=1, magnet_average=0.25))
    before = core.init(jax.random.key(0))
    after = core.update(before, _rollout(core, before))[0]
    jax.tree.map(
        lambda magnet, old, new: np.testing.assert_allclose(magnet, 0.75 * old + 0.25 * new, rtol=1e-5),
        after.magnet,
        before.params,
        after.params,
    )


def test_without_a_magnet_none_is_kept() -> None:
    state = _make_core().init(jax.random.key(0))
    assert state.magnet is None and state.average is None


def test_schedules_follow_their_formulas() -> None:
    config = dataclasses.replace(PRESETS["mmd"], horizon=400, learning_rate=0.1, final_learning_rate=0.02)
    quarter = schedule(config, jnp.int32(100))
    # Twice the final temperature, and a step size that is twice as large.
    np.testing.assert_allclose(quarter.by.entropy, 2 * config.entropy)
    np.testing.assert_allclose(quarter.by.kl, config.kl / 2)
    np.testing.assert_allclose(quarter.learning_rate, 0.08, rtol=1e-6)
    np.testing.assert_allclose(schedule(config, jnp.int32(500)).learning_rate, 0.02, rtol=1e-6)
    constant = schedule(_SMALL, jnp.int32(100))
    assert math.isclose(float(constant.by.entropy), _SMALL.entropy, rel_tol=1e-6)
    assert math.isclose(float(constant.by.kl), _SMALL.kl, rel_tol=1e-6)


def test_minibatches_that_do_not_fit_are_refused() -> None:
    core = _make_core(dataclasses.replace(_SMALL, minibatches=5))
    state = core.init(jax.random.key(0))
    with pytest.raises(ValueError, match="12 decisions cannot be split into 5 minibatches"):
        core.update(state, _rollout(core, state))

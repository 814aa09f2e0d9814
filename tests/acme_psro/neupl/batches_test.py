"""Batches of decisions: those of an agent that learns from the newest round alone, and those of others."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games.device_arrays import make_arrays
from acme_psro.neupl import batches, training
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.parts import NeuPLState, Parts, Plan, make_parts
from acme_psro.neupl.seats import make_seats
from agents import settings
from agents.core import Observation
from agents.registry import AGENTS

CONFIG = NeuPLConfig(population_size=3, rounds=1, num_envs=12, updates_per_round=4, batch_size=12)
GRAPH = np.array([[[0, 0, 0], [1, 0, 0], [0.5, 0.5, 0]]] * 2, np.float32)


def make(case: Any, config: NeuPLConfig = CONFIG, is_on_policy: bool = True) -> Parts:
    agent = AGENTS["vmpo" if is_on_policy else "conditional_mpo"].core()
    chosen = settings.replace("vmpo", agent.presets["games"], {"mixture_size": config.context_size})
    game = make_arrays(case.tree)
    context = jnp.zeros((1, config.context_size))
    example = Observation(game.info_state[:1], game.legal_actions[:1], context)
    core = agent.make_core(agent.make_networks(example, case.tree.num_actions, chosen), chosen)
    return make_parts(case.tree, game, make_seats(case.tree, None), core, config, is_on_policy=is_on_policy)


def play(parts: Parts, rounds: int = 1) -> tuple[NeuPLState, Plan]:
    share = jnp.array([[0.0, 0.5, 0.5]] * 2)
    fixed = jnp.zeros((3, len(parts.seats.player), 2)).at[0].set(0.5)
    plan = Plan(jnp.asarray(GRAPH), share, jnp.array([[True, False, False]] * 2), fixed)
    state = training.init(parts, jax.random.key(0))
    play_round = jax.jit(functools.partial(training._play_round, parts))
    for key in jax.random.split(jax.random.key(1), rounds):
        state, _ = play_round(key, state, plan)
    return state, plan


@pytest.mark.games("kuhn")
def test_every_decision_of_the_newest_round_is_used_equally_often(case: Any) -> None:
    for batch_size, uses in ((12, 1), (24, 2)):
        parts = make(case, dataclasses.replace(CONFIG, batch_size=batch_size))
        assert parts.per_round == 48
        drawn = np.asarray(batches.draw(parts, jax.random.key(0)))
        assert drawn.shape == (4, batch_size)
        np.testing.assert_array_equal(np.bincount(drawn.ravel(), minlength=48), np.full(48, uses))
        # In random order.
        assert (np.diff(drawn[0]) != 1).any()


@pytest.mark.games("kuhn")
def test_the_buffer_holds_the_newest_round_alone(case: Any) -> None:
    parts = make(case)
    state, plan = play(parts, rounds=3)
    assert parts.held_rounds == 1
    assert int(state.buffer.held) == parts.per_round == len(state.buffer.items.infoset)
    item = state.buffer.items
    batch = batches.make_batch(parts, state, plan, jnp.arange(parts.per_round))
    np.testing.assert_array_equal(batch.action, item.action)
    np.testing.assert_array_equal(batch.weight, item.weight)
    rows = GRAPH[np.asarray(parts.seats.player)[item.infoset], item.member]
    np.testing.assert_array_equal(batch.observation.context[batch.now][:, :3], rows)


@pytest.mark.games("kuhn")
def test_other_agents_draw_from_all_rounds_that_are_held(case: Any) -> None:
    parts = make(case, dataclasses.replace(CONFIG, buffer_size=200), is_on_policy=False)
    state, plan = play(parts, rounds=2)
    assert parts.held_rounds == 4
    assert int(state.buffer.held) == 2 * parts.per_round
    drawn = batches.draw(parts, jax.random.key(0))
    assert drawn.shape == (4,)
    first, second = (batches.make_batch(parts, state, plan, each) for each in drawn[:2])
    assert first.action.shape == (12,)
    assert not np.array_equal(first.observation.context, second.observation.context)

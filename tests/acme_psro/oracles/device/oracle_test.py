"""Tests of acme_psro.oracles.device.oracle.

Where what is tested is the oracle and not the agent, agents are stubs: they compile in no time, and what
they were given can be read off their state.
"""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms import best_response, expected_game_score

from acme_psro.games import rollout
from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask, Oracle, Response
from acme_psro.oracles.device import oracle as device_oracle
from acme_psro.oracles.device import training
from acme_psro.policies.as_openspiel import table_policy
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.tabular import Policy, Population, make_policy, mixture_table, uniform_policy
from agents import crossq
from agents.core import AgentCore, Observation, Transition

_TINY = training.DeviceConfig(
    gradient_steps=40, num_envs=16, batch_size=32, buffer_size=1000, snapshots=2, max_extensions=0
)


def _kuhn() -> GameTree:
    return compile_game("kuhn_poker", cache=False)


def _key(*bits: int) -> np.ndarray:
    return np.array(bits, np.uint32)


def _tasks(populations: Sequence[Population], marginals: Sequence[Any]) -> list[BestResponseTask]:
    mixture = ProductStrategy(tuple(np.asarray(marginal, float) for marginal in marginals))
    return [BestResponseTask(player, tuple(populations), mixture) for player in range(len(populations))]


def _against_uniform(tree: GameTree) -> list[BestResponseTask]:
    players = range(tree.num_players)
    return _tasks([(uniform_policy(tree, player),) for player in players], [[1.0] for _ in players])


def _pure(tree: GameTree, player: int, seed: int) -> Policy:
    """A policy that takes one legal action everywhere, drawn by the seed."""
    legal = tree.legal_actions[tree.infosets_of(player)]
    draw = np.random.default_rng([seed, player]).random(legal.shape)
    return make_policy(tree, player, np.eye(tree.num_actions)[np.where(legal, draw, -1).argmax(axis=1)])


class _StubState(NamedTuple):
    """A stub's memory of its updates."""

    notes: Any
    step: jax.Array


def _stub(init: Any, note: Any, favourite: int | None = None) -> AgentCore:
    """An agent that learns nothing: acts evenly by its key, or always takes its favourite action.

    Args:
      note: (notes, transition) -> notes, in every update.
    """

    def update(state: _StubState, batch: Transition) -> tuple[_StubState, dict[str, jax.Array]]:
        return _StubState(note(state.notes, batch), state.step + 1), {"loss": jnp.float32(0)}

    def probs(variables: Any, observation: Observation) -> jax.Array:
        del variables
        legal = observation.legal_actions
        if favourite is None:
            return legal / legal.sum(axis=-1, keepdims=True)
        return jnp.tile(jnp.eye(legal.shape[-1])[favourite], (legal.shape[0], 1)) * legal

    def act(variables: Any, key: jax.Array, observation: Observation) -> jax.Array:
        return jax.random.categorical(key, jnp.log(probs(variables, observation)))

    return AgentCore(
        init=lambda key: _StubState(init, jnp.int32(0)),
        update=update,
        variables=lambda state: state,
        behaviour=probs,
        act=act,
        perform=act,
        probs=probs,
    )


class _Learning(NamedTuple):
    """An oracle of learned responses in Kuhn poker, and how often its parts were traced."""

    tree: GameTree
    oracle: Oracle
    traces: collections.Counter[str]


@pytest.fixture(scope="module")
def learning() -> _Learning:
    """CrossQ, small, compiled once for all tests that need an agent that learns."""
    tree, traces = _kuhn(), collections.Counter[str]()

    def make_agent(example: Observation, num_actions: int, gradient_steps: int) -> AgentCore:
        config = dataclasses.replace(
            crossq.PRESETS["games"],
            critic_hidden_sizes=(32,),
            policy_hidden_sizes=(32,),
            discount=1.0,
            exploration=0.3,
            horizon=gradient_steps,
            temperature=0.3,
            final_temperature=0.003,
            learning_rate=0.02,
            final_learning_rate=1e-4,
            renorm_warmup=50,
            renorm_momentum=0.9,
        )
        core = crossq.make_core(crossq.make_networks(example, num_actions, config), config)

        def update(state: Any, batch: Transition) -> Any:
            traces["update"] += 1
            return core.update(state, batch)

        def act(*arguments: Any) -> jax.Array:
            traces["act"] += 1
            return core.act(*arguments)

        return core._replace(update=update, act=act)

    config = training.DeviceConfig(
        gradient_steps=200, num_envs=128, batch_size=256, buffer_size=20_000, max_extensions=0
    )
    return _Learning(tree, device_oracle.make_oracle(tree, make_agent, config), traces)


def _growing(tree: GameTree, size: int) -> list[BestResponseTask]:
    """Tasks against populations of the given size, drawn evenly."""
    populations = [(uniform_policy(tree, p), *(_pure(tree, p, k) for k in range(size - 1))) for p in range(2)]
    return _tasks(populations, [np.full(size, 1 / size)] * 2)


def test_a_learned_response_to_uniform_play_leaves_no_gap(learning: _Learning) -> None:
    responses = learning.oracle(_key(0, 0), _against_uniform(learning.tree))
    # What a best response gains over uniform play: 0.375 for the first player, 0.5417 for the second.
    np.testing.assert_allclose([r.best_gain for r in responses], [0.375, 0.5416666666666666], rtol=1e-12)
    gaps = [(r.best_gain - r.gain) / r.best_gain for r in responses]
    assert max(gaps) < 0.02
    assert min(gaps) > -1e-12


def test_one_seed_repeats_bit_by_bit_and_two_differ(learning: _Learning) -> None:
    tasks = _growing(learning.tree, 2)
    first, again, other = (learning.oracle(_key(seed, 7), tasks) for seed in (1, 1, 2))
    for one, same in zip(first, again, strict=True):
        assert (one.gain, one.best_gain, one.counts) == (same.gain, same.best_gain, same.counts)
        assert one.metrics == same.metrics
        np.testing.assert_array_equal(one.policy.table, same.policy.table)
    # The number of games finished depends on every action taken.
    assert [response.counts.episodes for response in first] != [
        response.counts.episodes for response in other
    ]


def test_nothing_is_traced_again_as_populations_grow(learning: _Learning) -> None:
    learning.oracle(_key(0, 0), _growing(learning.tree, 1))
    before = dict(learning.traces)
    assert before["update"] >= 1
    for size in (2, 3, 5, 8):
        learning.oracle(_key(0, size), _growing(learning.tree, size))
    assert dict(learning.traces) == before


def _assert_gains_are_true(
    tree: GameTree, tasks: Sequence[BestResponseTask], responses: Sequence[Response]
) -> None:
    """Recomputes gains with OpenSpiel's own algorithms."""
    game = pyspiel.load_game(tree.game_string)
    for task, response in zip(tasks, responses, strict=True):
        player, populations = task.player, task.populations
        table = mixture_table(tree, populations, task.meta_strategy)
        mixture = table_policy(tree, table)

        def value(policies: list[Any], player: int = player) -> float:
            root = game.new_initial_state()
            return float(expected_game_score.policy_value(root, policies)[player])

        present = value([mixture] * tree.num_players)
        best = best_response.BestResponsePolicy(game, player, mixture)
        best_value = best.value(game.new_initial_state())
        assert response.best_gain == pytest.approx(best_value - present, abs=1e-9)
        assert response.policy is not None
        played = table.copy()
        played[tree.infosets_of(player)] = response.policy.table
        policies = [mixture] * tree.num_players
        policies[player] = table_policy(tree, played)
        assert response.gain == pytest.approx(value(policies) - present, abs=1e-9)


def test_gains_are_what_openspiel_computes(learning: _Learning) -> None:
    tasks = _growing(learning.tree, 3)
    responses = learning.oracle(_key(5, 5), tasks)
    _assert_gains_are_true(learning.tree, tasks, responses)


def test_responses_are_deterministic_legal_policies(learning: _Learning) -> None:
    for player, response in enumerate(learning.oracle(_key(3, 3), _against_uniform(learning.tree))):
        legal = learning.tree.legal_actions[learning.tree.infosets_of(player)]
        assert response.policy is not None
        assert response.policy.table.shape == legal.shape
        assert ((response.policy.table == 0) | (response.policy.table == 1)).all()
        assert (response.policy.table.sum(axis=1) == 1).all()
        assert not response.policy.table[~legal].any()


class _Notes(NamedTuple):
    """A summary of one task's transitions."""

    seen: jax.Array  # [I, A], how often each decision was sampled.
    reward: jax.Array  # [I, A], sum of rewards where the game ended.
    ends: jax.Array  # [I, A], how often it did.
    impossible: jax.Array  # Transitions that the game does not have.


def _noting(tree: GameTree) -> AgentCore:
    """A stub that checks and counts transitions; information states are told apart by observation."""
    everything = rollout.make_arrays(tree).info_state
    parents = jnp.asarray(tree.parent_sequence)
    shape = (tree.num_infosets, tree.num_actions)

    def note(notes: _Notes, batch: Transition) -> _Notes:
        match = (batch.observation.info_state[:, None] == everything[None]).all(axis=-1)
        number = jnp.argmax(match, axis=1)
        now, then = number[batch.now], number[batch.then]
        legal = batch.observation.legal_actions[batch.now, batch.action]
        goes_on = batch.discount == 1
        follows = parents[then] == now * tree.num_actions + batch.action
        possible = legal & jnp.where(goes_on, follows & (batch.reward == 0), batch.discount == 0)
        cell = (now, batch.action)
        return _Notes(
            notes.seen.at[cell].add(batch.weight),
            notes.reward.at[cell].add(batch.weight * batch.reward),
            notes.ends.at[cell].add(batch.weight * ~goes_on),
            notes.impossible + jnp.sum(batch.weight * ~possible),
        )

    return _stub(_Notes(jnp.zeros(shape), jnp.zeros(shape), jnp.zeros(shape), jnp.float32(0)), note)


@pytest.fixture(scope="module")
def trained() -> tuple[GameTree, training.Trained, list[training.Trained]]:
    """A stub's inputs in Kuhn poker: both players side by side, and each alone."""
    tree = _kuhn()
    config = dataclasses.replace(_TINY, num_envs=64, gradient_steps=400, trembles=0.2, tremble_weight=0.25)
    core, game = _noting(tree), rollout.make_arrays(tree)
    train = device_oracle.make_training_against(training.make_train(tree, game, core, config), config)

    keys, players = jax.random.split(jax.random.key(0), 2), jnp.arange(2)
    tables = jnp.asarray(
        [[mixture_table(tree, t.populations, t.meta_strategy)] * 2 for t in _growing(tree, 3)],
        jnp.float32,
    )
    side_by_side = jax.jit(jax.vmap(train))(keys, players, tables)
    alone_train = jax.jit(train)
    alone = [alone_train(keys[p], players[p], tables[p]) for p in range(2)]
    return tree, side_by_side, alone


def test_a_task_learns_from_what_it_would_learn_from_alone(trained: Any) -> None:
    _, together, alone = trained
    for lane, single in enumerate(alone):
        lane_of = jax.tree.map(lambda leaf, lane=lane: leaf[lane], together.state.notes)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), lane_of, single.state.notes)
        assert int(together.episodes[lane]) == int(single.episodes) > 0
        np.testing.assert_array_equal(together.probs[lane], single.probs)


def test_transitions_are_the_games_own(trained: Any) -> None:
    tree, together, _ = trained
    np.testing.assert_array_equal(together.state.notes.impossible, [0.0, 0.0])
    for player in range(2):
        own = np.zeros(tree.num_infosets, bool)
        own[tree.infosets_of(player)] = True
        seen = np.asarray(together.state.notes.seen[player])
        assert (seen[own] > 0).all()
        assert not seen[~own].any()


def test_rewards_are_returns_divided_by_the_largest(trained: Any) -> None:
    """Kuhn poker: a player who folds loses its ante of 1, and nobody can lose more than 2."""
    tree, together, _ = trained
    assert tree.utility_scale == 2.0
    notes = together.state.notes
    # The second player after a bet, and the first after passing and a bet, may fold: action 0.
    for player, history in ((1, "b"), (0, "pb")):
        for infoset in range(*tree.infosets_of(player).indices(tree.num_infosets)):
            if tree.keys[infoset][1:] == history:
                ends = float(notes.ends[player, infoset, 0])
                assert ends == float(notes.seen[player, infoset, 0]) > 0
                assert float(notes.reward[player, infoset, 0]) == pytest.approx(-0.5 * ends)


def test_trembling_games_count_little(trained: Any) -> None:
    """Four games of five count 1 and one, the same but for that, counts 0.25."""
    _, together, _ = trained
    mean = np.asarray(together.state.notes.seen).sum(axis=(1, 2)) / (400 * 32)
    np.testing.assert_allclose(mean, 0.8 + 0.2 * 0.25, atol=0.03)


def test_a_gradient_step_is_an_update(trained: Any) -> None:
    _, together, alone = trained
    assert together.state.step.tolist() == [400, 400]
    assert int(alone[0].state.step) == 400


@pytest.fixture(scope="module")
def rock() -> tuple[GameTree, Oracle]:
    """Rock, paper, scissors, and an oracle whose agent ends up with rock, the first of equal actions.

    Two snapshots of two rounds of four updates make 16 gradient steps; 4 rounds are played before.
    """
    tree = compile_game("matrix_rps", cache=False)
    config = training.DeviceConfig(
        gradient_steps=10,
        num_envs=16,
        batch_size=32,
        buffer_size=100,
        updates_per_round=4,
        snapshots=2,
        max_extensions=3,
        enough=0.5,
    )
    core = _stub(jnp.float32(0), lambda notes, batch: notes)
    return tree, device_oracle.make_oracle(tree, lambda example, num_actions, steps: core, config)


def _respond_to(
    rock: tuple[GameTree, Oracle], first: Sequence[float], second: Sequence[float]
) -> list[Response]:
    """Responses where the players play these mixtures of rock, paper and scissors."""
    tree, oracle = rock
    tables = [np.array([table]) for table in (first, second)]
    populations = [(make_policy(tree, player, table),) for player, table in enumerate(tables)]
    return list(oracle(_key(0, 0), _tasks(populations, [[1.0], [1.0]])))


def test_a_response_that_gains_enough_is_trained_once_and_counted(rock: Any) -> None:
    for response in _respond_to(rock, [0, 0, 1], [0, 0, 1]):
        assert response.policy is not None
        np.testing.assert_array_equal(response.policy.table, [[1.0, 0.0, 0.0]])
        assert response.gain == response.best_gain == pytest.approx(1.0)
        assert response.counts.gradient_steps == 16
        assert response.counts.env_steps == (4 + 4) * 16
        # Every decision ends a game of rock, paper, scissors.
        assert response.counts.episodes == response.counts.env_steps


def test_a_response_that_gains_nothing_is_trained_on_within_the_budget_then_dropped(rock: Any) -> None:
    for response in _respond_to(rock, [1, 0, 0], [1, 0, 0]):
        assert response.policy is None
        assert response.gain == pytest.approx(0.0, abs=1e-12)
        assert response.best_gain == pytest.approx(1.0)
        assert response.counts.gradient_steps == (1 + 3) * 16
        assert response.counts.env_steps == response.counts.episodes == (1 + 3) * (4 + 4) * 16


def test_a_response_that_gains_too_little_is_trained_on_then_kept(rock: Any) -> None:
    mixed = [0.0, 0.45, 0.55]
    # Rock earns 0.1 and scissors 0.45 against it, and it draws with itself.
    for response in _respond_to(rock, mixed, mixed):
        assert response.policy is not None
        assert response.gain == pytest.approx(0.1)
        assert response.best_gain == pytest.approx(0.45)
        assert response.counts.gradient_steps == (1 + 3) * 16


def test_a_harmful_response_is_dropped_and_its_loss_told(rock: Any) -> None:
    # The first player's rock loses to paper: rock gains nothing. The second's wins: rock would draw.
    responses = _respond_to(rock, [1, 0, 0], [0, 1, 0])
    assert [response.policy for response in responses] == [None, None]
    np.testing.assert_allclose([response.gain for response in responses], [0.0, -1.0], atol=1e-12)
    np.testing.assert_allclose([response.best_gain for response in responses], [2.0, 0.0], atol=1e-12)
    # The second cannot gain, so that each of three extensions is for the first alone, in both lanes.
    assert [response.counts.gradient_steps for response in responses] == [(1 + 3 * 2) * 16, 16]
    assert [response.counts.env_steps for response in responses] == [(1 + 3 * 2) * 8 * 16, 8 * 16]


def test_nobody_is_trained_on_where_nothing_can_be_gained(rock: Any) -> None:
    for response in _respond_to(rock, [1 / 3] * 3, [1 / 3] * 3):
        assert response.policy is None
        assert response.counts.gradient_steps == 16
        assert response.best_gain == pytest.approx(0.0, abs=1e-12)


def test_three_players_with_many_information_states_respond_side_by_side() -> None:
    """16 information states a player are more than the four rows of two decisions."""
    tree = compile_game("kuhn_poker(players=3)", cache=False)
    config = dataclasses.replace(_TINY, batch_size=2, num_envs=4)
    core = _stub(jnp.float32(0), lambda notes, batch: notes, favourite=1)
    # To bet and call always gains against players who play evenly.
    tasks = _against_uniform(tree)
    responses = device_oracle.make_oracle(tree, lambda *_: core, config)(_key(0, 0), tasks)
    assert len(responses) == 3
    assert all(0 < response.counts.episodes <= response.counts.env_steps for response in responses)
    _assert_gains_are_true(tree, tasks, responses)


def test_agents_are_told_of_all_the_steps_to_come() -> None:
    """Their schedules are to end where training ends, rounding included."""
    told = []

    def make_agent(example: Observation, num_actions: int, gradient_steps: int) -> AgentCore:
        assert (example.info_state.shape[0], num_actions) == (1, 3)
        told.append(gradient_steps)
        return _stub(jnp.float32(0), lambda notes, batch: notes)

    tree = compile_game("matrix_rps", cache=False)
    config = dataclasses.replace(_TINY, gradient_steps=10, updates_per_round=4, snapshots=2)
    device_oracle.make_oracle(tree, make_agent, config)
    assert told == [16]

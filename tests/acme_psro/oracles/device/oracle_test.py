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

from acme_psro.games.compile import compile_game
from acme_psro.games.device_arrays import make_arrays
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask, Oracle, Response
from acme_psro.oracles.device import oracle as device_oracle
from acme_psro.oracles.device import trainers, training
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.lanes import LaneProgram
from acme_psro.policies.as_openspiel import table_policy
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.tabular import Policy, Population, make_policy, mixture_table, uniform_policy
from agents import crossq
from agents.core import AgentCore, Observation, Transition

pytestmark = pytest.mark.usefixtures("quick_module")

_TINY = DeviceConfig(
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


def _learn(config: DeviceConfig) -> _Learning:
    """CrossQ, small, in Kuhn poker."""
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

    return _Learning(tree, device_oracle.make_oracle(tree, make_agent, config), traces)


@pytest.fixture(scope="module")
def learning() -> _Learning:
    """An agent that plays while it learns, compiled once for all tests that need one."""
    return _learn(
        DeviceConfig(gradient_steps=200, num_envs=128, batch_size=256, buffer_size=20_000, max_extensions=0)
    )


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


@pytest.mark.slow
def test_an_oracle_that_asks_gets_the_same_from_any_program_of_its_settings(learning: _Learning) -> None:
    tasks = _growing(learning.tree, 2)
    alone = learning.oracle(_key(1, 1), tasks)
    assert isinstance(learning.oracle, device_oracle.DeviceOracle)
    # Another oracle's lanes are in the same call.
    program = LaneProgram(learning.oracle.train_lane, jax.local_devices()[:1], most_requests=2)
    asking = [learning.oracle.ask(_key(bits, 1), tasks) for bits in (1, 2)]
    answers = program([next(generator) for generator in asking])
    with pytest.raises(StopIteration) as ended:
        asking[0].send(answers[0])
    for one, same in zip(alone, ended.value.value, strict=True):
        assert (one.gain, one.counts, one.metrics) == (same.gain, same.counts, same.metrics)
        np.testing.assert_array_equal(one.policy.table, same.policy.table)


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
    everything = make_arrays(tree).info_state
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
    core, game = _noting(tree), make_arrays(tree)
    train = trainers.make_training_against(training.make_train(tree, game, core, config), config)

    keys, players = jax.random.split(jax.random.key(0), 2), jnp.arange(2)
    tables = jnp.asarray(
        [[mixture_table(tree, t.populations, t.meta_strategy)] * 2 for t in _growing(tree, 3)],
        jnp.float32,
    )
    side_by_side = jax.jit(jax.vmap(train))(keys, players, tables)
    alone_train = jax.jit(train)
    alone = [alone_train(keys[p], players[p], tables[p]) for p in range(2)]
    return tree, side_by_side, alone


@pytest.mark.long
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
    config = DeviceConfig(
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


def _picked(choices: int) -> AgentCore:
    """A stub that takes one action for ever, drawn when it is made."""

    def drawn(key: jax.Array) -> _StubState:
        return _StubState(jax.random.randint(key, (), 0, choices), jnp.int32(0))

    def probs(variables: _StubState, observation: Observation) -> jax.Array:
        one = jnp.eye(choices)[variables.notes]
        return jnp.tile(one, (observation.legal_actions.shape[0], 1))

    core = _stub(None, lambda notes, batch: notes)
    return core._replace(init=drawn, probs=probs)


def test_the_best_of_several_seeds_is_taken_and_what_else_gains_is_offered() -> None:
    """Both players play what loses to rock: rock gains 2, and another action gains 1."""
    tree = compile_game("matrix_rps", cache=False)
    config = dataclasses.replace(_TINY, seeds_per_response=8)
    oracle = device_oracle.make_oracle(tree, lambda *_: _picked(3), config)
    # The first player's paper loses to scissors, and the second's scissors lose to rock.
    tables = [np.array([[0.0, 1.0, 0.0]]), np.array([[0.0, 0.0, 1.0]])]
    populations = [(make_policy(tree, player, table),) for player, table in enumerate(tables)]
    first, second = oracle(_key(0, 1), _tasks(populations, [[1.0], [1.0]]))
    assert first.policy is not None
    np.testing.assert_array_equal(first.policy.table, [[1.0, 0.0, 0.0]])
    assert (first.gain, first.best_gain) == (pytest.approx(2.0), pytest.approx(2.0))
    # Scissors draw, which is better than to lose; paper gains nothing over itself. Each is offered once.
    np.testing.assert_array_equal([policy.table for policy in first.others], [[[0.0, 0.0, 1.0]]])
    # The second player wins already, so that nothing gains.
    assert (second.policy, second.others) == (None, ())
    assert first.counts.gradient_steps == second.counts.gradient_steps == 8 * config.updates


@pytest.fixture
def keeping() -> tuple[GameTree, device_oracle.DeviceOracle]:
    """Rock, paper, scissors, and an oracle that keeps games and always ends up with rock."""
    tree = compile_game("matrix_rps", cache=False)
    config = dataclasses.replace(
        _TINY,
        gradient_steps=8,
        games_per_response=10,
        max_games_per_response=35,
        max_extensions=1,
        enough=0.6,
    )
    core = _stub(jnp.float32(0), lambda notes, batch: notes)
    return tree, device_oracle.make_oracle(tree, lambda *_: core, config)


def test_games_are_doubled_for_a_player_who_falls_short(keeping: Any) -> None:
    """The first player's rock draws with rock where paper would win. The second one's rock wins."""
    for call in range(2):
        weak, strong = _respond_to(keeping, [0, 0, 1], [1, 0, 0])
        assert (weak.gain, weak.best_gain) == (pytest.approx(1.0), pytest.approx(2.0))
        assert strong.best_gain == pytest.approx(0.0)
        # Every game has one decision of each player.
        assert (weak.counts.episodes, weak.counts.env_steps) == (30, 30)
        assert (strong.counts.episodes, strong.counts.env_steps) == (10, 10)
        # Both lanes train the weak player, on the same new games.
        assert weak.counts.gradient_steps == 3 * strong.counts.gradient_steps
        assert weak.metrics["kept_games"] == 40 * call + 20


def test_games_stay_doubled_when_all_fall_short_up_to_the_limit(keeping: Any) -> None:
    episodes = [[r.counts.episodes for r in _respond_to(keeping, [1, 0, 0], [1, 0, 0])] for _ in range(3)]
    # 10 and 20 at first; then 20 and 35, and 35 twice.
    assert episodes == [[30, 30], [55, 55], [70, 70]]


@pytest.fixture(scope="module")
def remembering() -> _Learning:
    """An agent that learns from kept games."""
    return _learn(DeviceConfig(gradient_steps=200, batch_size=64, games_per_response=1500, max_extensions=0))


@pytest.mark.long
def test_responses_to_new_mixtures_are_learned_from_kept_games(remembering: _Learning) -> None:
    for iteration, size in enumerate((1, 2, 4, 3)):
        tasks = _growing(remembering.tree, size)
        responses = remembering.oracle(_key(2, iteration), tasks)
        for response in responses:
            assert response.best_gain > 0.1
            assert response.gain > 0.9 * response.best_gain
            assert response.counts.episodes == 1500
        _assert_gains_are_true(remembering.tree, tasks, responses)
    # However many games there are and whoever plays, the program is the same.
    assert remembering.traces["update"] == 1


def test_an_oracle_that_remembers_goes_on_as_if_it_had_not_stopped(remembering: _Learning) -> None:
    tree, oracle, _ = remembering
    oracle(_key(3, 0), _growing(tree, 1))
    memory = oracle.memory()
    following = _growing(tree, 3)
    first, longer = oracle(_key(3, 1), following), oracle(_key(3, 1), following)
    oracle.remember(memory)
    again = oracle(_key(3, 1), following)
    for one, same, other in zip(first, again, longer, strict=True):
        assert dict(one.metrics) == dict(same.metrics) != dict(other.metrics)
        assert one.gain == same.gain
        np.testing.assert_array_equal(one.policy.table, same.policy.table)
        assert other.metrics["kept_games"] == one.metrics["kept_games"] + 3000


def test_an_oracle_that_keeps_no_games_has_no_memory(rock: Any) -> None:
    assert not rock[1].memory()
    rock[1].remember({})


def test_a_memory_of_another_game_is_refused(keeping: Any, remembering: _Learning) -> None:
    with pytest.raises(ValueError, match=r"another game than .*matrix_rps"):
        keeping[1].remember(remembering.oracle.memory())


@pytest.mark.parametrize("batch_size", [1000, 7])
def test_kept_games_teach_the_games_own_transitions(batch_size: int) -> None:
    """All outcomes in every update, or some that are drawn."""
    tree = _kuhn()
    noting = _noting(tree)

    def update(state: _StubState, batch: Transition) -> tuple[_StubState, dict[str, jax.Array]]:
        # Decisions earn their advantage over the mixture, also if the game goes on.
        state, _ = noting.update(state, batch._replace(reward=jnp.zeros_like(batch.reward)))
        notes = state.notes
        return state, {"impossible": notes.impossible, "actions": jnp.sum(notes.seen > 0) * 1.0}

    config = dataclasses.replace(
        _TINY, batch_size=batch_size, gradient_steps=160, games_per_response=300, snapshots=2
    )
    oracle = device_oracle.make_oracle(tree, lambda *_: noting._replace(update=update), config)
    for response in oracle(_key(4, 4), _against_uniform(tree)):
        assert response.metrics["impossible"] == 0
        # Each player has six information states with two actions, all seen by the second half of the updates.
        assert response.metrics["actions"] == 12


def test_snapshots_settle_on_their_most_probable_legal_actions() -> None:
    # An illegal action never counts, whatever its probability; of equal ones the first is taken.
    probs = np.array([[[0.2, 0.5, 0.3], [0.4, 0.4, 0.2], [0.0, 0.0, 1.0]]], np.float32)
    legal = np.array([[True, False, True], [True, True, True], [True, True, False]])

    settled = device_oracle.settle(probs, legal)

    np.testing.assert_array_equal(settled, [[[0, 0, 1], [1, 0, 0], [1, 0, 0]]])


def test_stochastic_snapshots_keep_their_probabilities_of_legal_actions() -> None:
    probs = np.array([[[0.2, 0.5, 0.3], [0.25, 0.5, 0.25]]], np.float32)
    legal = np.array([[True, False, True], [True, True, True]])

    kept = device_oracle.settle(probs, legal, is_stochastic=True)

    np.testing.assert_allclose(kept, [[[0.4, 0, 0.6], [0.25, 0.5, 0.25]]], atol=1e-7)
    np.testing.assert_allclose(kept.sum(axis=2), 1, atol=1e-12)


@pytest.mark.long
def test_responses_may_stay_stochastic() -> None:
    learning = _learn(dataclasses.replace(_TINY, stochastic_responses=True))

    responses = learning.oracle(_key(0, 1), _against_uniform(learning.tree))

    for response in responses:
        assert response.policy is not None
        assert ((response.policy.table > 0) & (response.policy.table < 1)).any()

"""Budgets of a training, and what several members learn side by side."""

import collections
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.device_arrays import make_arrays
from acme_psro.games.tree import GameTree
from acme_psro.oracles.device import training
from acme_psro.oracles.device.config import DeviceConfig
from agents.core import AgentCore, Observation, Transition


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(
            (name, value)
            for name in (
                "gradient_steps",
                "num_envs",
                "batch_size",
                "buffer_size",
                "updates_per_round",
                "snapshots",
            )
            for value in (0, -1)
        ),
        ("max_extensions", -1),
        ("seeds_per_response", 0),
        ("games_per_response", -1),
        ("games_per_response", 100_001),
        ("max_games_per_response", -1),
        ("enough", -0.1),
        ("enough", 1.1),
        ("trembles", -0.1),
        ("trembles", 1.1),
        ("tremble_weight", -0.1),
        ("tremble_weight", 1.1),
        ("buffer_size", 255),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=setting) as refusal:
        DeviceConfig(**{setting: value})
    assert "\n" not in str(refusal.value)


def test_budgets_round_up_to_whole_rounds_and_snapshots() -> None:
    config = DeviceConfig(gradient_steps=10, updates_per_round=4, snapshots=2)
    assert (config.num_snapshots, config.rounds_per_snapshot) == (2, 2)
    config = DeviceConfig(gradient_steps=1, updates_per_round=4, snapshots=10)
    assert (config.num_snapshots, config.rounds_per_snapshot) == (1, 1)
    config = DeviceConfig(gradient_steps=1000, updates_per_round=4, snapshots=10)
    assert (config.num_snapshots, config.rounds_per_snapshot) == (10, 25)


def test_there_is_a_first_batch_before_learning() -> None:
    config = DeviceConfig(num_envs=10, batch_size=256)
    assert config.rounds_before_learning * config.num_envs >= config.batch_size


class _Tables(NamedTuple):
    """A tabular agent's state.

    Attributes:
      values: `[M, I, A]`.
      impossible: what was replayed that its member's games do not have.
    """

    values: jax.Array
    impossible: jax.Array


def _tabular(tree: GameTree, num_members: int, traces: collections.Counter[str] | None = None) -> AgentCore:
    """Q-learning with a table for every member; members are told apart by where their context is largest.

    It also counts transitions of Kuhn poker's first player that cannot be had against `_opposites`.
    """
    everything = make_arrays(tree).info_state

    def cell(observation: Observation) -> tuple[jax.Array, jax.Array]:
        match = (observation.info_state[:, None] == everything[None]).all(axis=-1)
        return jnp.argmax(observation.context, axis=-1), jnp.argmax(match, axis=-1)

    def values(tables: _Tables, observation: Observation) -> jax.Array:
        return jnp.where(observation.legal_actions, tables.values[cell(observation)], -jnp.inf)

    def update(tables: _Tables, batch: Transition) -> tuple[_Tables, dict[str, jax.Array]]:
        if traces is not None:
            traces["update"] += 1
        member, infoset = (index[batch.now] for index in cell(batch.observation))
        after = values(tables, batch.observation).max(axis=1)[batch.then]
        at = (member, infoset, batch.action)
        error = batch.reward + batch.discount * after - tables.values[at]
        impossible = jnp.sum(batch.weight * ~_possible(member, batch))
        learned = tables.values.at[at].add(0.1 * batch.weight * error)
        return _Tables(learned, tables.impossible + impossible), {}

    def probs(tables: _Tables, observation: Observation) -> jax.Array:
        return jax.nn.one_hot(values(tables, observation).argmax(axis=1), tree.num_actions)

    def behaviour(tables: _Tables, observation: Observation) -> jax.Array:
        legal = observation.legal_actions
        return 0.5 * probs(tables, observation) + 0.5 * legal / legal.sum(axis=1, keepdims=True)

    def act(tables: _Tables, key: jax.Array, observation: Observation) -> jax.Array:
        return jax.random.categorical(key, jnp.log(behaviour(tables, observation)))

    shape = (num_members, tree.num_infosets, tree.num_actions)
    return AgentCore(
        init=lambda key: _Tables(jnp.zeros(shape), jnp.float32(0)),
        update=update,
        variables=lambda tables: tables,
        behaviour=behaviour,
        act=act,
        perform=act,
        probs=probs,
    )


def _possible(member: jax.Array, batch: Transition) -> jax.Array:
    """`[B]`: whether member 0 can have met one who always passes, and member 1 one who always bets.

    Kuhn poker's first player wins the ante of 1 by betting against the former, and passing leads to a
    showdown for it. Against the latter, betting leads to a showdown for 2, and passing to another decision,
    where folding loses 1. Returns are divided by 2.
    """
    bets, ends, paid = batch.action == 1, batch.discount == 0, jnp.abs(batch.reward)
    passer = ends & jnp.where(bets, batch.reward == 0.5, paid == 0.5)
    folds = ends & (batch.reward == -0.5)
    better = jnp.where(bets, ends & (paid == 1.0), folds | (~ends & (paid == 0.0)))
    return jnp.where(member == 0, passer, better)


def _opposites(tree: GameTree, members: Sequence[int]) -> training.OpponentProfiles:
    """Profiles: member 0 plays against one who always passes, member 1 against one who always bets."""
    tables = np.eye(tree.num_actions)[np.asarray(members)][:, None].repeat(tree.num_infosets, axis=1)
    num = len(members)
    return training.OpponentProfiles(
        tables=jnp.asarray(tables, jnp.float32),
        weights=jnp.asarray(np.full(num, 1 / num), jnp.float32),
        members=jnp.asarray(members, jnp.int32),
        contexts=jnp.array([[0.9, -0.3, 0.2], [0.1, 0.4, 0.3]]),
        decision_weights=jnp.ones(num),
    )


def _value(tree: GameTree, policy: np.ndarray, opponent: np.ndarray) -> float:
    """Returns the values of the first player's policies, each given everywhere."""
    played = opponent.copy()
    played[tree.infosets_of(0)] = policy[tree.infosets_of(0)]
    return float(traverse.expected_returns(tree, traverse.realisation_plan(tree, played))[0])


@pytest.fixture(scope="module")
def kuhn() -> GameTree:
    return compile_game("kuhn_poker", cache=False)


# With 6 information states a player, 12 for two members: by table and all of them a batch, or neither.
@pytest.mark.parametrize(("num_envs", "batch_size"), [(64, 64), (8, 5)])
def test_members_learn_to_respond_each_to_its_own_opponents(
    kuhn: GameTree, num_envs: int, batch_size: int
) -> None:
    config = DeviceConfig(
        gradient_steps=12_000 // batch_size, num_envs=num_envs, batch_size=batch_size, snapshots=2
    )
    core, game = _tabular(kuhn, 2), make_arrays(kuhn)
    train = jax.jit(training.make_train(kuhn, game, core, config))
    opponents = _opposites(kuhn, [0, 1, 1])
    trained = train(jax.random.key(0), jnp.int32(0), opponents)
    assert trained.probs.shape == (2, 2, kuhn.num_infosets, kuhn.num_actions)
    assert int(trained.state.impossible) == 0
    policies = np.asarray(trained.probs[-1], float)
    for member in range(2):
        opponent = np.asarray(opponents.tables[member], float)
        best = traverse.best_response(kuhn, traverse.realisation_plan(kuhn, opponent), 0).value
        own, others = (_value(kuhn, policies[m], opponent) for m in (member, 1 - member))
        assert own == pytest.approx(best, abs=1e-9)
        assert others < best - 0.1


class _Learning(NamedTuple):
    """A training of two members, compiled once, and how often its parts were traced."""

    train: training.Train
    traces: collections.Counter[str]


_BRIEF = DeviceConfig(gradient_steps=40, num_envs=32, batch_size=64, snapshots=2)


@pytest.fixture(scope="module")
def learning(kuhn: GameTree) -> _Learning:
    traces = collections.Counter[str]()
    core = _tabular(kuhn, 2, traces)
    train = jax.jit(training.make_train(kuhn, make_arrays(kuhn), core, _BRIEF))
    return _Learning(train, traces)


@pytest.mark.long
def test_a_member_with_all_profiles_learns_as_if_it_were_alone(kuhn: GameTree, learning: _Learning) -> None:
    """Random numbers do not depend on how many members there are, and one without games learns nothing."""
    both = _opposites(kuhn, [0, 1])._replace(members=jnp.zeros(2, jnp.int32))
    alone = both._replace(contexts=both.contexts[:1])
    train_one = jax.jit(training.make_train(kuhn, make_arrays(kuhn), _tabular(kuhn, 1), _BRIEF))
    one, two = (
        train(jax.random.key(1), jnp.int32(1), opponents)
        for train, opponents in ((train_one, alone), (learning.train, both))
    )
    assert int(one.episodes) == int(two.episodes)
    assert np.abs(one.state.values).max() > 0.1
    np.testing.assert_allclose(two.state.values[0], one.state.values[0], rtol=1e-6)
    np.testing.assert_array_equal(two.state.values[1], 0)
    np.testing.assert_array_equal(two.probs[:, 0], one.probs[:, 0])


def test_decisions_against_a_profile_without_weight_teach_nothing(
    kuhn: GameTree, learning: _Learning
) -> None:
    opponents = _opposites(kuhn, [0, 1])._replace(decision_weights=jnp.array([1.0, 0.0]))
    values = learning.train(jax.random.key(0), jnp.int32(0), opponents).state.values
    assert np.abs(values[0]).max() > 0.1
    np.testing.assert_array_equal(values[1], 0)


def test_other_opponents_members_and_contexts_are_not_traced_anew(
    kuhn: GameTree, learning: _Learning
) -> None:
    opponents = _opposites(kuhn, [0, 1])
    first = learning.train(jax.random.key(0), jnp.int32(0), opponents)
    before = learning.traces["update"]
    assert before >= 1
    for other in (
        opponents._replace(tables=opponents.tables[::-1]),
        opponents._replace(weights=jnp.array([1.0, 0.0])),
        opponents._replace(members=opponents.members[::-1]),
        opponents._replace(contexts=opponents.contexts[::-1]),
        opponents._replace(decision_weights=jnp.array([0.0, 1.0])),
    ):
        values = learning.train(jax.random.key(0), jnp.int32(0), other).state.values
        assert np.abs(values - first.state.values).max() > 0.01
    assert learning.traces["update"] == before


def test_opponents_of_different_numbers_are_refused(kuhn: GameTree, learning: _Learning) -> None:
    opponents = _opposites(kuhn, [0, 1])._replace(members=jnp.zeros(3, jnp.int32))
    with pytest.raises(AssertionError, match="shape"):
        learning.train(jax.random.key(0), jnp.int32(0), opponents)

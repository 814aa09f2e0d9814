"""Tests of acme_psro.oracles.device.population_start: means of members, lanes, and the memory."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.oracle import DeviceOracle
from acme_psro.oracles.device.population_start import (
    Network,
    PopulationStart,
    begin,
    mean_member,
    stack,
    unstack,
)
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.tabular import make_policy, uniform_policy
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.response_agents import make_member
from agents.core import AgentCore, Joining, Left, Observation

pytestmark = pytest.mark.usefixtures("quick_module")

_SMALL = {"policy_hidden_sizes": (16,), "critic_hidden_sizes": (16,), "discount": 1.0, "embedding_size": 4}
_BUDGET = {"gradient_steps": 40, "num_envs": 16, "batch_size": 64, "snapshots": 2, "max_extensions": 0}


class _Params(NamedTuple):
    """Parameters of a stub: a network of one number, and a member of one number."""

    network: jax.Array
    member: jax.Array
    step: jax.Array


def _stub() -> AgentCore:
    def never(*arguments: Any) -> Any:
        raise AssertionError(arguments)

    def init(key: jax.Array) -> _Params:
        del key
        return _Params(jnp.float32(7), jnp.float32(70), jnp.int32(0))

    joining = Joining(
        lambda state: Left(state.network, state.member), lambda key, left: _Params(*left, jnp.int32(0))
    )
    return AgentCore(init, never, never, never, never, joining=joining)


def _task(size: int, weights: list[float], player: int = 0) -> BestResponseTask:
    marginals = (np.asarray(weights), np.ones(1))
    populations: Any = ((None,) * size, (None,))
    both = ProductStrategy(marginals if player == 0 else marginals[::-1])
    return BestResponseTask(player, populations if player == 0 else populations[::-1], both)


def _left(network: float, member: float) -> Left:
    return Left(np.float32(network), np.float32(member))


@pytest.mark.parametrize(
    ("weights", "mean"),
    [
        ([0.5, 0.5, 0.0], 10.0),  # The uniform policy, index 0, is no member: shares are those of the others.
        ([0.0, 0.25, 0.75], 25.0),
        ([0.2, 0.2, 0.6], 25.0),
        ([1.0, 0.0, 0.0], 30.0),  # No member is played: the newest.
        ([0.0, 1.0], 10.0),  # The second member is not in the population.
        ([1.0], 30.0),
    ],
)
def test_a_new_member_begins_with_the_mean_of_its_own_mixture(weights: list[float], mean: float) -> None:
    network = Network(np.float32(0), {"both": np.array([10.0, 30.0], np.float32)}, np.array([1, 2]))
    found = mean_member(network, np.asarray(weights))["both"]
    assert found == pytest.approx(mean)
    assert found.dtype == np.float32


def test_members_go_by_their_index_and_the_network_is_the_last_ones() -> None:
    population = PopulationStart(_stub())
    assert not population.start(_task(1, [1.0])).is_known
    population.add([_task(1, [1.0])], [_left(1, 10)])
    population.add([_task(2, [0.5, 0.5])], [_left(2, 20)])
    start = population.start(_task(3, [0.0, 0.5, 0.5]))
    assert (start.is_known, start.left) == (True, (2.0, 15.0))
    # The last response did not join the population, so that the next one has its index.
    population.add([_task(2, [0.5, 0.5])], [_left(3, 40)])
    assert population.start(_task(3, [0.0, 0.5, 0.5])).left == (3.0, 25.0)
    # A player without a response keeps what it has; the other player has a network of its own.
    population.add([_task(3, [0, 0, 1]), _task(1, [1.0], 1)], [None, _left(5, 50)])
    assert population.start(_task(3, [0.0, 0.5, 0.5])).left == (3.0, 25.0)
    assert population.start(_task(2, [0.0, 1.0], 1)).left == (5.0, 50.0)
    assert not population.start(None).is_known


def test_lanes_begin_each_in_its_own_start_and_count_steps_together() -> None:
    core, population = _stub(), PopulationStart(_stub())
    population.add([_task(1, [1.0])], [_left(1, 10)])
    starts = stack([population.start(None), population.start(_task(2, [0.0, 1.0]))])

    def init(start: Any) -> _Params:
        return begin(core, start).init(jax.random.key(0))

    # This vmap fails if the step has an axis of lanes: what is due every few steps would be computed always.
    found = jax.vmap(init, out_axes=_Params(0, 0, None))(starts)
    np.testing.assert_array_equal(found.network, [7, 1])
    np.testing.assert_array_equal(found.member, [70, 10])
    first, second = unstack(Left(found.network, found.member), 2)
    assert (first, second) == ((7, 70), (1, 10))


def test_without_starts_the_agent_is_as_it_was() -> None:
    core = _stub()
    assert begin(core, None) is core
    assert stack([None, None]) is None
    assert unstack(None, 2) == [None, None]


def test_the_memory_holds_everything() -> None:
    population, again = PopulationStart(_stub()), PopulationStart(_stub())
    assert not population.memory()
    population.add([_task(1, [1.0]), _task(1, [1.0], 1)], [_left(1, 10), _left(2, 20)])
    population.add([_task(2, [0, 1])], [_left(3, 30)])
    memory = dict(population.memory())
    again.remember({**memory, "visits": np.zeros(3)})
    for task in (_task(3, [0, 0.5, 0.5]), _task(2, [0, 1], 1)):
        assert again.start(task) == population.start(task)
    again.remember({})
    assert not again.start(_task(2, [0, 1])).is_known
    for wrong in ({"population_0_0": np.zeros(4)}, {"population_0_1": np.zeros((3, 2))}):
        with pytest.raises(ValueError, match="the network in the checkpoint is of another agent or game"):
            again.remember(memory | wrong)


def test_an_agent_that_nobody_can_join_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an agent that members can join"):
        PopulationStart(_stub()._replace(joining=None))


@pytest.fixture(scope="module")
def tree() -> GameTree:
    return compile_game("kuhn_poker", cache=False)


def _tasks(tree: GameTree, size: int) -> list[BestResponseTask]:
    """Tasks in populations of uniform policies and pure ones, all of them in the mixtures."""
    populations = []
    for player in range(2):
        rows = tree.infosets_of(player)
        legal = tree.legal_actions[rows]
        draws = np.random.default_rng(player).random((size, *legal.shape))
        pure = [np.eye(tree.num_actions)[np.where(legal, draw, -1).argmax(axis=1)] for draw in draws[1:]]
        others = [make_policy(tree, player, table) for table in pure]
        populations.append((uniform_policy(tree, player), *others))
    mixture = ProductStrategy((np.full(size, 1 / size),) * 2)
    return [BestResponseTask(player, tuple(populations), mixture) for player in range(2)]


def _key(*bits: int) -> np.ndarray:
    return np.array(bits, np.uint32)


@pytest.mark.long
@pytest.mark.parametrize("games", [pytest.param(0, marks=pytest.mark.slow), 300])
def test_an_oracle_that_remembers_goes_on_as_if_it_had_not_stopped(tree: GameTree, games: int) -> None:
    """Agents that play while they learn, and those that learn from kept games."""
    config = PSROConfig("kuhn_poker", agent="conditional_mpo", agent_settings=_SMALL)
    device = DeviceConfig(**_BUDGET, games_per_response=games)
    traces = []

    def make_agent(example: Observation, num_actions: int, steps: int) -> AgentCore:
        core = make_member(config)(example, num_actions, steps)

        def update(*arguments: Any) -> Any:
            traces.append(1)
            return core.update(*arguments)

        return core._replace(update=update)

    def make() -> DeviceOracle:
        return DeviceOracle(tree, make_agent, device, warm_start=True)

    oracle = make()
    oracle(_key(0, 0), _tasks(tree, 1))
    memory = oracle.memory()
    first = oracle(_key(0, 1), _tasks(tree, 2))
    longer = oracle(_key(0, 1), _tasks(tree, 2))
    # However many members there are, the program is the same.
    assert len(traces) == 1
    oracle.remember(memory)
    again = oracle(_key(0, 1), _tasks(tree, 2))
    for one, same, other in zip(first, again, longer, strict=True):
        assert dict(one.metrics) == dict(same.metrics) != dict(other.metrics)
        assert one.gain == same.gain
    fresh = make()
    fresh.remember(memory)
    elsewhere = fresh(_key(0, 1), _tasks(tree, 2))
    assert [dict(one.metrics) for one in elsewhere] == [dict(one.metrics) for one in first]


def test_what_another_network_learned_of_the_members_takes_the_place_of_one_part() -> None:
    population = PopulationStart(_stub())
    population.adopt(0, "policy", {}, np.zeros((0, 1)))
    for index, size in enumerate((1, 2, 3), 1):
        own = {"policy": np.float32(index), "critic": np.float32(10 * index)}
        left = Left({"policy": {"layer": np.float32(1)}, "critic": np.float32(index)}, own)
        population.add([_task(size, [1.0])], [left])
    # The third response did not join the population, so that there are two members.
    learned = {"layer": np.float32(7), "head": np.float32(8)}
    population.adopt(0, "policy", learned, np.array([0.5, 1.5], np.float32))
    start = population.start(_task(3, [0.0, 0.5, 0.5]))
    assert start.left.network == {"policy": {"layer": 7.0}, "critic": 3.0}
    assert start.left.member == {"policy": 1.0, "critic": 15.0}
    assert population.start(_task(3, [1.0, 0.0, 0.0])).left.member == {"policy": 1.5, "critic": 20.0}

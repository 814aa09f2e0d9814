"""Best responses on a graph gain what their payoffs say, and one program trains them as populations grow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.on_graph import GraphMetaGame, returns_against
from acme_psro.meta_game.payoffs import value
from acme_psro.oracles.base import BestResponseTask, Response
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.graph_oracle import GraphOracle, Task
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.on_graph import GraphPolicy
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.defaults import game_settings
from acme_psro.population_runs.response_agents import make_agent

pytestmark = pytest.mark.usefixtures("quick_module")

_TINY = DeviceConfig(
    gradient_steps=120, num_envs=64, batch_size=128, buffer_size=4000, snapshots=3, max_extensions=0
)


@pytest.fixture(name="graph", scope="module")
def _graph() -> GameGraph:
    return graph_of_tree(compile_game("kuhn_poker"))


def make_oracle(graph: GameGraph, most: int = 4, **changes: Any) -> GraphOracle:
    config = PSROConfig("kuhn_poker", agent_settings=game_settings("kuhn_poker", "crossq").agent_settings)
    budget = DeviceConfig(**{**_TINY.__dict__, **changes})
    return GraphOracle(graph, make_agent(config), budget, 1e-7, most)


def make_tasks(graph: GameGraph, populations: Any, marginals: Any) -> list[Task]:
    payoffs = GraphMetaGame(graph).extend(populations, None)
    mixture = ProductStrategy(tuple(np.asarray(each, float) for each in marginals))
    return [BestResponseTask(player, populations, mixture, payoffs) for player in range(2)]


def check_gains(graph: GameGraph, tasks: list[Task], responses: list[Response[GraphPolicy]]) -> None:
    for task, response in zip(tasks, responses, strict=True):
        assert response.policy is not None and task.payoffs is not None
        alone = (response.policy,)
        earned = returns_against(graph, task.player, alone, task.populations, task.meta_strategy)[
            task.player, 0
        ]
        present = value(task.payoffs, task.meta_strategy)[task.player]
        assert response.gain == pytest.approx(earned - present, abs=1e-9)
        assert response.gain > 0.1
        assert np.isnan(response.best_gain)


@pytest.mark.long
def test_responses_gain_over_the_mixture_and_nothing_is_traced_again(graph: GameGraph) -> None:
    oracle = make_oracle(graph)
    first = tuple((policy,) for policy in GraphMetaGame(graph).first())
    tasks = make_tasks(graph, first, ([1.0], [1.0]))
    responses = oracle(np.array([0, 1], np.uint32), tasks)
    check_gains(graph, tasks, responses)
    program = oracle._program

    grown = tuple((*own, response.policy) for own, response in zip(first, responses, strict=True))
    # The compiled program takes the arrays of another shape for an error, and would not trace again.
    tasks = make_tasks(graph, grown, ([0.5, 0.5], [0.5, 0.5]))
    again = oracle(np.array([2, 3], np.uint32), tasks)

    assert oracle._program is program
    assert [response.counts.gradient_steps for response in again] == [120, 120]


def test_stochastic_responses_are_the_agents_probabilities(graph: GameGraph) -> None:
    first = tuple((policy,) for policy in GraphMetaGame(graph).first())
    tasks = make_tasks(graph, first, ([1.0], [1.0]))
    key = np.array([0, 1], np.uint32)

    greedy = make_oracle(graph)(key, tasks)
    stochastic = make_oracle(graph, stochastic_responses=True)(key, tasks)

    check_gains(graph, tasks, stochastic)
    for one, other in zip(greedy, stochastic, strict=True):
        assert one.policy is not None and other.policy is not None
        assert set(np.unique(one.policy.table)) == {0.0, 1.0}
        assert ((other.policy.table > 0) & (other.policy.table < 1)).any()


def test_equal_keys_give_equal_responses(graph: GameGraph) -> None:
    first = tuple((policy,) for policy in GraphMetaGame(graph).first())
    tasks = make_tasks(graph, first, ([1.0], [1.0]))
    oracle = make_oracle(graph)

    one, other = (oracle(np.array([0, 1], np.uint32), tasks) for _ in range(2))

    for a, b in zip(one, other, strict=True):
        assert a.policy is not None and b.policy is not None
        np.testing.assert_array_equal(a.policy.table, b.policy.table)


def test_opponents_are_met_by_their_weights_and_padding_never(graph: GameGraph) -> None:
    population = GraphMetaGame(graph).first()
    populations = tuple((policy,) * 2 for policy in population)
    task = make_tasks(graph, populations, ([1.0, 0.0], [0.75, 0.25]))[0]

    met = make_oracle(graph, most=4, trembles=0.2, tremble_weight=0.1)._oppose(task)

    # Four fifths by the mixture, one fifth evenly.
    np.testing.assert_allclose(met.weights, [0.7, 0.3, 0, 0], atol=1e-6)
    # Decisions count 1 by the mixture and 0.1 in trembles.
    expected = [(0.8 * 0.75 + 0.1 * 0.1) / 0.7, (0.8 * 0.25 + 0.1 * 0.1) / 0.3, 1, 1]
    np.testing.assert_allclose(met.decision_weights, expected, atol=1e-6)
    assert met.tables.shape == (4, graph.num_observations, graph.num_actions)


def test_games_of_three_players_are_refused() -> None:
    tree: GameTree = compile_game("kuhn_poker(players=3)")

    with pytest.raises(ValueError, match="3 players"):
        make_oracle(graph_of_tree(tree))


def test_kept_games_are_refused(graph: GameGraph) -> None:
    with pytest.raises(ValueError, match="games_per_response to 0"):
        make_oracle(graph, games_per_response=100)


def test_tasks_without_payoffs_are_refused(graph: GameGraph) -> None:
    populations = tuple((policy,) for policy in GraphMetaGame(graph).first())
    task: Task = BestResponseTask(0, populations, ProductStrategy((np.ones(1), np.ones(1))))

    with pytest.raises(ValueError, match="payoffs"):
        make_oracle(graph)(np.zeros(2, np.uint32), [task, task])

"""Best responses on a graph gain what their payoffs say, and one program trains them as populations grow."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.meta_game.on_graph import GraphMetaGame, returns_against
from acme_psro.meta_game.payoffs import value
from acme_psro.oracles.base import BestResponseTask, Response
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.graph_oracle import GraphOracle, Task
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from acme_psro.policies.on_graph import GraphPolicy
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.defaults import game_settings
from acme_psro.population_runs.response_agents import make_agent, make_learner

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


# One program of three players is told from this one by its opponents alone.
@pytest.mark.slow
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


def test_equal_keys_give_equal_responses_and_stochastic_ones_are_the_agents_probabilities(
    graph: GameGraph,
) -> None:
    first = tuple((policy,) for policy in GraphMetaGame(graph).first())
    tasks = make_tasks(graph, first, ([1.0], [1.0]))
    key = np.array([0, 1], np.uint32)

    oracle = make_oracle(graph)
    greedy, again = oracle(key, tasks), oracle(key, tasks)
    stochastic = make_oracle(graph, stochastic_responses=True)(key, tasks)

    check_gains(graph, tasks, greedy)
    check_gains(graph, tasks, stochastic)
    for one, same, other in zip(greedy, again, stochastic, strict=True):
        assert one.policy is not None and same.policy is not None and other.policy is not None
        np.testing.assert_array_equal(one.policy.table, same.policy.table)
        assert set(np.unique(one.policy.table)) == {0.0, 1.0}
        assert ((other.policy.table > 0) & (other.policy.table < 1)).any()


@pytest.mark.long
def test_one_program_answers_three_players_who_draw_together() -> None:
    graph = graph_of_tree(compile_game("kuhn_poker(players=3)"))
    oracle = make_oracle(graph)
    populations = tuple((policy,) for policy in GraphMetaGame(graph).first())
    for key in range(2):
        meta_game = GraphMetaGame(graph)
        payoffs = meta_game.extend(populations, None)
        # Everybody plays its first policy, or everybody its last one.
        last = len(populations[0]) - 1
        joint = JointStrategy(np.array([[0] * 3, [last] * 3]), np.array([0.5, 0.5]))
        tasks: list[Task] = [BestResponseTask(player, populations, joint, payoffs) for player in range(3)]
        responses = oracle(np.array([0, key], np.uint32), tasks)
        check_gains(graph, tasks, responses)
        populations = tuple(
            (*own, response.policy)
            for own, response in zip(populations, responses, strict=True)
            if response.policy is not None
        )
    assert [len(own) for own in populations] == [3, 3, 3]


def test_kept_games_are_refused(graph: GameGraph) -> None:
    with pytest.raises(ValueError, match="games_per_response to 0"):
        make_oracle(graph, games_per_response=100)


def test_self_play_of_three_players_is_refused() -> None:
    graph = graph_of_tree(compile_game("kuhn_poker(players=3)"))
    config = dataclasses.replace(_TINY, self_play=0.1)

    with pytest.raises(ValueError, match=r"device.self_play is for two players, and kuhn_poker\(players=3\)"):
        GraphOracle(graph, make_learner(PSROConfig("kuhn_poker", agent="mmd")), config, 1e-7, 4)


def test_tasks_without_payoffs_are_refused(graph: GameGraph) -> None:
    populations = tuple((policy,) for policy in GraphMetaGame(graph).first())
    task: Task = BestResponseTask(0, populations, ProductStrategy((np.ones(1), np.ones(1))))

    with pytest.raises(ValueError, match="payoffs"):
        make_oracle(graph)(np.zeros(2, np.uint32), [task, task])

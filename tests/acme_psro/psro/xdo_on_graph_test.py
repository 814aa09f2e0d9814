"""XDO on graphs with exact responses: it nears equilibria, mixes allowed actions alone, and refuses games."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from acme_psro.evaluation.on_graph import evaluate_on_graph
from acme_psro.games import sweeps, traverse
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.meta_game.on_graph import GraphMetaGame, expected_returns, returns_against
from acme_psro.oracles.base import BestResponseTask, Response
from acme_psro.policies.meta_strategy import BehaviouralStrategy
from acme_psro.policies.on_graph import GraphPolicy, as_members, make_graph_policy
from acme_psro.psro import loop, xdo_on_graph
from acme_psro.psro.loop import PSROState
from acme_psro.restricted_games.game import allowed_actions
from acme_psro.self_play.restricted import Descent
from tests.acme_psro.games.graphs import CYCLIC, graph_of, tree_of

_TREE = tree_of("kuhn_poker")
_GRAPH = graph_of_tree(_TREE)
State = PSROState[GraphPolicy, np.ndarray]


def _respond(
    key: np.ndarray, tasks: Sequence[BestResponseTask[GraphPolicy, np.ndarray]]
) -> list[Response[GraphPolicy]]:
    """Returns best responses by the tree, whose information states are the observations of its graph."""
    del key
    responses = []
    for task in tasks:
        assert task.payoffs is not None
        table = np.concatenate([population[0].table for population in task.populations])
        # A little of everything, so that responses are good off the path too.
        trembling = 0.99 * table + 0.01 * _TREE.uniform_policy()
        plan = traverse.realisation_plan(_TREE, trembling)
        best = traverse.best_response(_TREE, plan, task.player).table
        policy = make_graph_policy(_GRAPH, task.player, best[_GRAPH.rows_of(task.player)])
        earned = returns_against(_GRAPH, task.player, (policy,), task.populations, task.meta_strategy)
        gain = float(earned[task.player, 0] - task.payoffs[task.player, 0, 0])
        responses.append(Response(policy if gain > 1e-9 else None, gain, gain))
    return responses


def _run(graph: GameGraph, iterations: int) -> list[State]:
    meta_game = GraphMetaGame(graph)
    way = xdo_on_graph.make_loop(graph, meta_game, 1e-3, Descent(1000))
    states = [loop.initialise(meta_game, way)]
    for iteration in range(iterations):
        key = loop.iteration_key(0, iteration)
        states.append(loop.step(states[-1], key, oracle=_respond, meta_game=meta_game, loop=way))
    return states


@pytest.fixture(name="states", scope="module")
def _states() -> list[State]:
    return _run(_GRAPH, 5)


def test_it_comes_near_an_equilibrium(states: list[State]) -> None:
    figures = [evaluate_on_graph(_GRAPH, state.populations, state.meta_strategy) for state in states]

    assert figures[-1].exploitability < 0.01 < figures[0].exploitability / 10
    for state, found in zip(states, figures, strict=True):
        returns = expected_returns(_GRAPH, state.payoffs, state.meta_strategy)
        np.testing.assert_allclose(returns, found.expected_returns, atol=1e-12)


def test_only_allowed_actions_are_mixed(states: list[State]) -> None:
    for state in states[1:]:
        assert isinstance(state.meta_strategy, BehaviouralStrategy)
        table = np.concatenate(state.meta_strategy.tables)
        allowed = allowed_actions(_GRAPH, state.populations, first=1, threshold=0.1)
        assert not table[~allowed].any()
        assert state.figures["restricted_actions"] <= allowed.sum()
    shares = [state.figures["restricted_share"] for state in states[1:]]
    assert all(before <= after for before, after in itertools.pairwise(shares))


def test_tasks_are_against_the_equilibrium_and_its_trembles(states: list[State]) -> None:
    meta_game = GraphMetaGame(_GRAPH)
    tasks = xdo_on_graph.make_loop(_GRAPH, meta_game, 1e-3).tasks(states[-1])

    populations, _ = as_members(states[-1].populations, states[-1].meta_strategy)
    for player, task in enumerate(tasks):
        assert task.player == player
        assert [len(own) for own in task.populations] == [2, 2]
        for own, alone in zip(task.populations, populations, strict=True):
            np.testing.assert_allclose(own[0].table, alone[0].table, atol=1e-12)
            assert own[1].table[own[1].table > 0].min() > 0.1
        table = np.concatenate([own[0].table for own in task.populations])
        assert task.payoffs is not None
        np.testing.assert_allclose(task.payoffs[:, 0, 0], sweeps.expected_returns(_GRAPH, table))


def test_actions_that_stochastic_responses_hardly_take_do_not_count() -> None:
    table = np.array([[0.05, 0.95], [0.5, 0.5]] * 3)
    populations = [
        (GraphPolicy(_GRAPH.uniform_policy()[_GRAPH.rows_of(player)]), GraphPolicy(table))
        for player in range(2)
    ]

    allowed = allowed_actions(_GRAPH, populations, first=1, threshold=0.1)

    np.testing.assert_array_equal(allowed, np.tile([[False, True], [True, True]], (6, 1)))
    rare = allowed_actions(_GRAPH, populations, first=1, threshold=0.9999)
    np.testing.assert_array_equal(rare, allowed)


@pytest.mark.parametrize("game", [CYCLIC[0], "coop_box_pushing(horizon=1)", "kuhn_poker(players=3)"])
def test_other_games_are_refused(game: str) -> None:
    graph = graph_of(game)
    with pytest.raises(ValueError, match="two-player zero-sum games without states that come back"):
        xdo_on_graph.make_loop(graph, GraphMetaGame(graph), 1e-3)

"""Joint distributions on graphs: gaps equal to those on trees, and no gap in known equilibria."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from acme_psro.evaluation import correlated, correlated_on_graph
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.meta_game.profiles import cell_probabilities, joint_of_cells
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.policies.on_graph import GraphPolicy, GraphPopulation
from acme_psro.policies.tabular import Population, make_policy

SIZE = 3


class Drawn(NamedTuple):
    """A game, tree and graph, with random populations and a joint distribution over their profiles."""

    tree: GameTree
    graph: GameGraph
    on_tree: tuple[Population, ...]
    on_graph: tuple[GraphPopulation, ...]
    joint: JointStrategy
    payoffs: np.ndarray


@pytest.fixture(
    name="drawn", scope="module", params=["kuhn_poker", "kuhn_poker(players=3)", "sheriff(num_rounds=1)"]
)
def _drawn(request: pytest.FixtureRequest, compiled: Callable[[str], GameTree]) -> Drawn:
    tree = compiled(request.param)
    rng = np.random.default_rng(0)
    on_tree, on_graph = [], []
    for player in range(tree.num_players):
        legal = tree.legal_actions[tree.infosets_of(player)]
        weights = rng.random((SIZE, *legal.shape)) ** 4 * legal
        tables = weights / weights.sum(axis=-1, keepdims=True)
        on_tree.append(tuple(make_policy(tree, player, table) for table in tables))
        on_graph.append(tuple(GraphPolicy(table) for table in tables))
    cells = rng.dirichlet(np.full(SIZE**tree.num_players, 0.3)).reshape((SIZE,) * tree.num_players)
    # A policy that is never recommended.
    cells[0] = 0.0
    payoffs = exact_payoffs(tree, on_tree)
    joint = joint_of_cells(cells / cells.sum())
    return Drawn(tree, graph_of_tree(tree), tuple(on_tree), tuple(on_graph), joint, payoffs)


def test_gains_are_those_on_the_tree(drawn: Drawn) -> None:
    expected = correlated.gaps(drawn.tree, drawn.on_tree, drawn.joint)
    assert expected.cce_gains.min() > 0
    given = drawn.graph, drawn.on_graph, drawn.joint, drawn.payoffs
    np.testing.assert_allclose(correlated_on_graph.cce_gains(*given), expected.cce_gains, atol=1e-9)
    np.testing.assert_allclose(correlated_on_graph.ce_gains(*given), expected.ce_gains, atol=1e-9)


def test_gaps_of_recommendations_are_those_on_the_tree(drawn: Drawn) -> None:
    for player in range(drawn.tree.num_players):
        expected = correlated.recommendation_gaps(drawn.tree, drawn.on_tree, drawn.joint, player)
        found = correlated_on_graph.recommendation_gaps(
            drawn.graph, drawn.on_graph, drawn.joint, player, drawn.payoffs
        )
        assert [each.policy for each in found] == [each.policy for each in expected]
        np.testing.assert_allclose([each[1:] for each in found], [each[1:] for each in expected], atol=1e-9)


def test_order_of_profiles_does_not_matter(drawn: Drawn) -> None:
    profiles, probabilities = drawn.joint.profiles[::-1], drawn.joint.probabilities[::-1]
    turned = JointStrategy(profiles, probabilities)
    np.testing.assert_array_equal(
        cell_probabilities(turned, (SIZE,) * drawn.tree.num_players),
        cell_probabilities(drawn.joint, (SIZE,) * drawn.tree.num_players),
    )
    rest = drawn.graph, drawn.on_graph
    np.testing.assert_allclose(
        correlated_on_graph.cce_gains(*rest, turned, drawn.payoffs),
        correlated_on_graph.cce_gains(*rest, drawn.joint, drawn.payoffs),
        atol=1e-12,
    )


def test_agreeing_by_a_coin_is_an_equilibrium(compiled: Callable[[str], GameTree]) -> None:
    # Battle of the sexes: both go to the first event, or both to the second, as a fair coin says.
    graph = graph_of_tree(compiled("matrix_bos"))
    pure = tuple(
        tuple(GraphPolicy(np.eye(2)[[action]]) for action in range(2)) for _ in range(graph.num_players)
    )
    payoffs = np.array([[[3.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 3.0]]])
    coin = JointStrategy(np.array([[0, 0], [1, 1]]), np.array([0.5, 0.5]))
    np.testing.assert_array_equal(correlated_on_graph.ce_gains(graph, pure, coin, payoffs), 0.0)
    np.testing.assert_array_equal(correlated_on_graph.cce_gains(graph, pure, coin, payoffs), 0.0)
    # If they disagree, each gains by hand: 3 or 2 for following the other one.
    apart = JointStrategy(np.array([[0, 1], [1, 0]]), np.array([0.5, 0.5]))
    np.testing.assert_allclose(
        correlated_on_graph.ce_gains(graph, pure, apart, payoffs), [2.5, 2.5], atol=1e-12
    )
    # Before it is told, a player knows only that the other one mixes evenly.
    np.testing.assert_allclose(
        correlated_on_graph.cce_gains(graph, pure, apart, payoffs), [1.5, 1.5], atol=1e-12
    )

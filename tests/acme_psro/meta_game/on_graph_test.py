"""The meta-game on a graph has the payoffs that the tree of the same game has."""

from __future__ import annotations

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.meta_game.on_graph import GraphMetaGame, returns_against
from acme_psro.meta_game.payoffs import value
from acme_psro.meta_game.profiles import joint_of_cells
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.on_graph import GraphPolicy, GraphPopulation
from acme_psro.policies.tabular import make_policy


@pytest.fixture(name="tree", scope="module", params=["kuhn_poker", "leduc_poker"])
def _tree(request: pytest.FixtureRequest) -> GameTree:
    return compile_game(request.param)


@pytest.fixture(name="graph", scope="module")
def _graph(tree: GameTree) -> GameGraph:
    return graph_of_tree(tree)


def draw_populations(graph: GameGraph, sizes: tuple[int, ...]) -> tuple[GraphPopulation, ...]:
    rng = np.random.default_rng(0)

    def draw(player: int) -> GraphPolicy:
        weights = rng.random(graph.legal_actions.shape) * graph.legal_actions
        table = weights / weights.sum(axis=1, keepdims=True)
        return GraphPolicy(table[graph.rows_of(player)])

    return tuple(tuple(draw(player) for _ in range(size)) for player, size in enumerate(sizes))


def test_payoffs_are_those_of_the_tree(tree: GameTree, graph: GameGraph) -> None:
    populations = draw_populations(graph, (3, 2))
    on_tree = [
        tuple(make_policy(tree, player, policy.table) for policy in own)
        for player, own in enumerate(populations)
    ]

    payoffs = GraphMetaGame(graph).extend(populations, None)

    np.testing.assert_allclose(payoffs, exact_payoffs(tree, on_tree), atol=1e-12)


def test_known_payoffs_are_kept_as_they_are(graph: GameGraph) -> None:
    populations = draw_populations(graph, (3, 3))
    before = GraphMetaGame(graph).extend(tuple(own[:2] for own in populations), None)

    # A wrong number shows that the cell was not computed again.
    after = GraphMetaGame(graph).extend(populations, before + 100)

    np.testing.assert_array_equal(after[:, :2, :2], before + 100)
    fresh = GraphMetaGame(graph).extend(populations, None)
    np.testing.assert_allclose(after[:, 2], fresh[:, 2], atol=1e-12)
    np.testing.assert_allclose(after[:, :, 2], fresh[:, :, 2], atol=1e-12)


def test_returns_of_mixtures_follow_from_the_payoffs(graph: GameGraph) -> None:
    populations = draw_populations(graph, (2, 3))
    mixture = ProductStrategy((np.array([0.25, 0.75]), np.array([0.5, 0.0, 0.5])))
    payoffs = GraphMetaGame(graph).extend(populations, None)

    by_policy = returns_against(graph, 0, populations[0], populations, mixture).T

    expected = np.einsum("pij,i,j->p", payoffs, *mixture.marginals)
    np.testing.assert_allclose(0.25 * by_policy[0] + 0.75 * by_policy[1], expected, atol=1e-12)
    np.testing.assert_allclose(value(payoffs, mixture), expected, atol=1e-12)


def test_a_players_returns_are_rows_or_columns_of_the_payoffs(graph: GameGraph) -> None:
    populations = draw_populations(graph, (2, 3))
    mixture = ProductStrategy((np.array([0.25, 0.75]), np.array([0.5, 0.0, 0.5])))
    payoffs = GraphMetaGame(graph).extend(populations, None)

    rows = returns_against(graph, 0, populations[0], populations, mixture)
    columns = returns_against(graph, 1, populations[1], populations, mixture)

    np.testing.assert_allclose(rows, np.einsum("pij,j->pi", payoffs, mixture.marginals[1]), atol=1e-12)
    np.testing.assert_allclose(columns, np.einsum("pij,i->pj", payoffs, mixture.marginals[0]), atol=1e-12)


def test_three_players_payoffs_and_returns_are_those_of_the_tree() -> None:
    tree = compile_game("kuhn_poker(players=3)")
    graph = graph_of_tree(tree)
    populations = draw_populations(graph, (2, 1, 3))
    on_tree = [
        tuple(make_policy(tree, player, policy.table) for policy in own)
        for player, own in enumerate(populations)
    ]
    meta_game = GraphMetaGame(graph)
    known = meta_game.extend([populations[0][:1], populations[1], populations[2][:2]], None)
    payoffs = meta_game.extend(populations, known)
    np.testing.assert_allclose(payoffs, exact_payoffs(tree, on_tree), atol=1e-12)
    np.testing.assert_array_equal(payoffs[:, :1, :, :2], known)

    cells = np.random.default_rng(1).dirichlet(np.ones(6)).reshape(2, 1, 3)
    # A player meets the others' joint draw, whatever is drawn for itself.
    of_player_2 = returns_against(graph, 2, populations[2], populations, joint_of_cells(cells))
    np.testing.assert_allclose(of_player_2, np.einsum("pijk,ij->pk", payoffs, cells.sum(axis=2)), atol=1e-12)
    of_player_0 = returns_against(graph, 0, populations[0], populations, joint_of_cells(cells))
    np.testing.assert_allclose(of_player_0, np.einsum("pijk,jk->pi", payoffs, cells.sum(axis=0)), atol=1e-12)


def test_populations_begin_with_uniform_policies(graph: GameGraph) -> None:
    first = GraphMetaGame(graph).first()

    uniform = graph.uniform_policy()
    for player, policy in enumerate(first):
        np.testing.assert_array_equal(policy.table, uniform[graph.rows_of(player)])

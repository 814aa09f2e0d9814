"""Figures of mixtures on a graph are those of the tree of the same game."""

from __future__ import annotations

import numpy as np
import pytest

from acme_psro.evaluation.exact import evaluate_mixture
from acme_psro.evaluation.on_graph import evaluate_on_graph
from acme_psro.games.compile import compile_game
from acme_psro.games.graph import graph_of_tree
from acme_psro.meta_game.on_graph import GraphMetaGame
from acme_psro.meta_game.payoffs import value
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from acme_psro.policies.on_graph import GraphPolicy
from acme_psro.policies.tabular import make_policy


@pytest.mark.parametrize("game", ["kuhn_poker", "leduc_poker"])
def test_gains_over_a_mixture_are_those_of_the_tree(game: str) -> None:
    tree = compile_game(game)
    graph = graph_of_tree(tree)
    rng = np.random.default_rng(1)
    weights = rng.random((3, *tree.legal_actions.shape)) * tree.legal_actions
    tables = weights / weights.sum(axis=2, keepdims=True)
    mixture = ProductStrategy((np.array([0.5, 0.5, 0.0]), np.array([0.2, 0.0, 0.8])))
    populations = [
        tuple(GraphPolicy(table[graph.rows_of(player)]) for table in tables) for player in range(2)
    ]
    on_tree = [
        tuple(make_policy(tree, player, policy.table) for policy in own)
        for player, own in enumerate(populations)
    ]
    returns = value(GraphMetaGame(graph).extend(populations, None), mixture)

    figures = evaluate_on_graph(graph, populations, mixture, returns)

    expected = evaluate_mixture(tree, on_tree, mixture)
    np.testing.assert_allclose(figures.per_player_gain, expected.per_player_gain, atol=1e-9)
    np.testing.assert_allclose(figures.expected_returns, expected.expected_returns, atol=1e-9)
    assert figures.nash_conv == pytest.approx(expected.nash_conv, abs=1e-9)


def test_joint_distributions_are_refused() -> None:
    graph = graph_of_tree(compile_game("kuhn_poker"))
    populations = [(policy,) for policy in GraphMetaGame(graph).first()]

    with pytest.raises(ValueError, match="joint"):
        evaluate_on_graph(graph, populations, JointStrategy(((1, 1),), np.ones(1)), np.zeros(2))

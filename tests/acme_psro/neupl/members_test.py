"""Members that learn, tables and populations, and values of members."""

from typing import Any

import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.interaction_graph import make_graph
from acme_psro.neupl.members import (
    make_graph_maker,
    make_populations,
    share_of_learning,
)
from acme_psro.neupl.values import estimated_values, member_values
from acme_psro.policies.tabular import mixture_plan


def random_tables(tree: Any, num: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).random((num, *tree.legal_actions.shape)) * tree.legal_actions
    return drawn / drawn.sum(axis=2, keepdims=True)


def test_members_that_learn_share_evenly_in_different_rows_that_are_not_fixed() -> None:
    graph = np.zeros((2, 5, 5))
    graph[:, 1:3, 0] = 1.0
    graph[:, 3, 1] = 1.0
    graph[:, 4, 2] = 1.0
    is_fixed = np.zeros((2, 5), bool)
    is_fixed[:, 0] = True
    share = share_of_learning(NeuPLConfig(5), graph, is_fixed)
    np.testing.assert_allclose(share[0], [0, 1 / 3, 0, 1 / 3, 1 / 3])
    is_fixed[0, 1] = True
    np.testing.assert_allclose(share_of_learning(NeuPLConfig(5), graph, is_fixed)[0], [0, 0, 0, 0.5, 0.5])
    first = share_of_learning(NeuPLConfig(5, active_members=1), graph, is_fixed)
    np.testing.assert_allclose(first, [[0, 0, 0, 1, 0], [0, 1, 0, 0, 0]])
    np.testing.assert_allclose(share_of_learning(NeuPLConfig(5), graph, is_fixed | True)[1], [0, 0, 0, 0, 1])


@pytest.mark.games("leduc")
def test_tables_become_populations_and_back(case: Any) -> None:
    tables = random_tables(case.tree, 3)
    populations = make_populations(case.tree, tables.astype(np.float32))
    again = np.concatenate([np.stack([policy.table for policy in own]) for own in populations], axis=1)
    np.testing.assert_allclose(again, tables, atol=1e-6)


@pytest.mark.games("rock_paper_scissors")
def test_both_players_of_a_symmetric_game_have_the_same_rows(case: Any) -> None:
    populations = make_populations(case.tree, random_tables(case.tree, 4))
    graph = make_graph_maker(NeuPLConfig(4), is_symmetric=True)(exact_payoffs(case.tree, populations))
    np.testing.assert_allclose(graph[0], graph[1], atol=1e-9)


@pytest.mark.games("kuhn", "leduc")
def test_values_of_members_are_those_of_their_mixtures(case: Any) -> None:
    tree = case.tree
    populations = make_populations(tree, random_tables(tree, 4))
    payoffs = exact_payoffs(tree, populations)
    graph = make_graph("psro_nash", payoffs, 0.0)
    values = member_values(tree, populations, graph, payoffs)
    for player in range(2):
        for member in range(1, 4):
            marginals = [np.eye(4)[member]] * 2
            marginals[1 - player] = graph[player, member]
            plan = mixture_plan(tree, populations, marginals)
            own = traverse.expected_returns(tree, plan)[player]
            best = traverse.best_response(tree, plan, player).value
            assert values.own[player, member] == pytest.approx(own, abs=1e-9)
            assert values.best[player, member] == pytest.approx(best, abs=1e-9)
            assert values.gap[player, member] == pytest.approx(best - own, abs=1e-9)
    # Payoffs alone do not tell what best responses earn.
    estimated = estimated_values(graph, payoffs)
    np.testing.assert_array_equal(estimated.own, values.own)
    np.testing.assert_array_equal(estimated.before, values.before)
    assert np.isnan(estimated.best[:, 1:]).all()
    # Member 1 may only compare itself with the sink.
    sink = payoffs[0, 0, 0], payoffs[1, 0, 0]
    np.testing.assert_allclose(values.before[:, 1], sink, atol=1e-9)
    assert (values.relative_gain <= 1 + 1e-9).all()


def test_graphs_are_those_of_the_payoffs() -> None:
    drawn = np.random.default_rng(0).normal(size=(3, 3))
    payoffs = np.stack([drawn, -drawn])
    found = make_graph_maker(NeuPLConfig(3))(payoffs)
    np.testing.assert_array_equal(found, make_graph("psro_nash", payoffs, 1e-3))

"""Mixtures of policies on a graph: what is refused, and expected returns."""

from typing import Any

import numpy as np
import pytest

from acme_psro.evaluation.belief_levels import MemoryBoundError
from acme_psro.evaluation.graph_mixtures import drawn_together, make_mixture, mixture_returns
from acme_psro.games import traverse
from acme_psro.games.graph import graph_of_tree
from tests.acme_psro.evaluation.made_up_graphs import (
    guess_the_coin,
    random_graph,
    random_tables,
    wait_or_take,
)

ONE = np.ones(1)


@pytest.mark.games("kuhn", "liars_dice", "goofspiel", "auction", "repeated_dilemma")
def test_returns_equal_those_of_the_tree(case: Any) -> None:
    tree = case.tree
    graph = graph_of_tree(tree)
    tables = random_tables(tree.legal_actions, 5, 0, unused=0.3)
    weights = np.array([0.5, 0.5]), np.array([0.2, 0.3, 0.5])
    mixtures = (
        make_mixture(graph, (0,), tables[:2], weights[0]),
        make_mixture(graph, (1,), tables[2:], weights[1]),
    )
    expected = np.zeros(2)
    rows = tree.infosets_of(1)
    for first, own in zip(weights[0], tables[:2], strict=True):
        for second, others in zip(weights[1], tables[2:], strict=True):
            table = own.copy()
            table[rows] = others[rows]
            plan = traverse.realisation_plan(tree, table)
            expected += first * second * traverse.expected_returns(tree, plan)
    np.testing.assert_allclose(mixture_returns(graph, mixtures), expected, rtol=0, atol=1e-12)


def test_returns_on_a_cyclic_graph_by_hand() -> None:
    # Player 0 comes after one move or after two, with probabilities 1/2 and 1/4. Half of the time it takes 1,
    # otherwise it waits, and is paid 2 with probability 0.6 if it came after one move.
    graph = wait_or_take()
    table = np.array([[0.5, 0.5], [0.5, 0.5], [0.6, 0.4]])[None]
    returns = mixture_returns(
        graph, (make_mixture(graph, (0,), table, ONE), make_mixture(graph, (1,), table, ONE))
    )
    np.testing.assert_allclose(returns, [0.675, -0.675], atol=1e-12)


def test_members_that_play_the_same_are_joined() -> None:
    graph = guess_the_coin()
    tables = random_tables(graph.legal_actions, 3, 0)
    tables[2, graph.observations_of(1)] = tables[0, graph.observations_of(1)]
    mixture = make_mixture(graph, (1,), tables[[0, 1, 2, 1]], [0.5, 0.2, 0.3, 0.0])
    np.testing.assert_array_equal(mixture.tables, tables[:2])
    np.testing.assert_allclose(mixture.weights, [0.8, 0.2])
    # They differ in what player 0 does.
    assert len(make_mixture(graph, (0,), tables, [0.5, 0.2, 0.3]).weights) == 3


@pytest.mark.parametrize("shape", [(8, 3), (0, 8, 3), (2, 7, 3), (2, 8, 2)])
def test_tables_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    graph = random_graph(0)
    with pytest.raises(
        ValueError, match=r"have shape .*, not \(K, 8, 3\): give K tables with a row"
    ) as caught:
        make_mixture(graph, (0,), np.ones(shape), ONE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "weights", [[0.5], [0.5, 0.6], [-0.5, 1.5], [np.nan, 1.0], [0.5, 0.25, 0.25], [[0.5, 0.5]]]
)
def test_weights_that_are_no_distribution_are_refused(weights: list[float]) -> None:
    graph = random_graph(0)
    with pytest.raises(ValueError, match=r"player 1's weights are .*: give 2 probabilities, one a policy"):
        make_mixture(graph, (1,), random_tables(graph.legal_actions, 2, 0), weights)


@pytest.mark.parametrize(
    "row", [[0.5, 0.4, 0.2], [0.5, 0.5, 0.5], [-0.5, 1.5, 0.0], [np.nan, 1, 0], [0.5, 0, 0.5]]
)
def test_rows_that_are_no_distributions_are_refused(row: list[float]) -> None:
    graph = random_graph(0)
    # Observation 2 has two legal actions.
    tables = random_tables(graph.legal_actions, 2, 0)
    tables[1, 2] = row
    with pytest.raises(ValueError, match="row 2 of the policy table, for the observation 'row 2', is"):
        make_mixture(graph, (0,), tables, [0.5, 0.5])
    # The other player's rows do not count, nor does a member that is never drawn.
    make_mixture(graph, (1,), tables, [0.5, 0.5])
    make_mixture(graph, (0,), tables, [1.0, 0.0])


def test_profiles_beyond_the_memory_bound_are_refused_before_they_are_made() -> None:
    graph = random_graph(0)
    tables = random_tables(graph.legal_actions, 2, 0)
    profiles = np.zeros((1_000_000, 2), int)
    with pytest.raises(MemoryBoundError, match="may meet 1,000,000 profiles of policies") as caught:
        drawn_together(graph, 0, [tables] * 2, profiles, np.full(1_000_000, 1e-6), 1_000_000)
    assert "\n" not in str(caught.value)

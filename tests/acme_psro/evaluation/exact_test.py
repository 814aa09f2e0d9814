"""Exact figures of a mixture agree with OpenSpiel's figures of the exported policy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms import expected_game_score, exploitability, policy_aggregator

from acme_psro.evaluation.exact import evaluate_mixture
from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.policies.as_openspiel import table_policy
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.tabular import Population, make_policy, mixture_plan, mixture_table, uniform_policy

Tables = Callable[[GameTree, int], np.ndarray]
MIXED = ("kuhn", "kuhn_3p", "leduc", "goofspiel", "auction", "pennies_3p", "hanabi")


@pytest.fixture
def mixed(
    case: Any, random_table: Tables, pure_table: Tables
) -> tuple[tuple[Population, ...], ProductStrategy]:
    """Populations of 2, 3, .. policies, pure and mixed, with random weights."""
    tree, rng = case.tree, np.random.default_rng(0)
    populations, marginals = [], []
    for player in range(tree.num_players):
        rows = tree.infosets_of(player)
        tables = [(pure_table if k else random_table)(tree, 10 * player + k) for k in range(player + 2)]
        populations.append(tuple(make_policy(tree, player, table[rows]) for table in tables))
        marginals.append(rng.dirichlet(np.ones(player + 2)))
    return tuple(populations), ProductStrategy(tuple(marginals))


@pytest.mark.games(*MIXED)
def test_nash_conv_of_a_mixture_equals_openspiel(case: Any, mixed: tuple) -> None:
    result = evaluate_mixture(case.tree, *mixed)
    policy = table_policy(case.tree, mixture_table(case.tree, *mixed))
    expected = exploitability.nash_conv(case.game, policy, return_only_nash_conv=False)
    np.testing.assert_allclose(result.per_player_gain, expected.player_improvements, atol=1e-9)
    assert result.nash_conv == pytest.approx(expected.nash_conv, abs=1e-9)
    assert result.exploitability == pytest.approx(expected.nash_conv / case.tree.num_players, abs=1e-9)
    assert result.nash_conv > 1e-3


@pytest.mark.games("kuhn", "leduc", "goofspiel")
def test_exploitability_of_a_mixture_equals_openspiel_in_cpp(case: Any, mixed: tuple) -> None:
    policy = table_policy(case.tree, mixture_table(case.tree, *mixed))
    lookup: dict[str, list[tuple[int, float]]] = {}

    def walk(state: Any) -> None:
        if state.is_terminal():
            return
        if not state.is_chance_node():
            lookup[state.information_state_string()] = list(policy.action_probabilities(state).items())
        for action in state.legal_actions():
            walk(state.child(action))

    walk(case.game.new_initial_state())
    expected = pyspiel.exploitability(case.game, pyspiel.TabularPolicy(lookup))
    assert evaluate_mixture(case.tree, *mixed).exploitability == pytest.approx(expected, abs=1e-9)


@pytest.mark.games("kuhn", "kuhn_3p", "auction", "pennies_3p")
def test_expected_returns_of_a_mixture_equal_openspiel(case: Any, mixed: tuple) -> None:
    policy = table_policy(case.tree, mixture_table(case.tree, *mixed))
    policies = [policy] * case.tree.num_players
    expected = expected_game_score.policy_value(case.game.new_initial_state(), policies)
    np.testing.assert_allclose(evaluate_mixture(case.tree, *mixed).expected_returns, expected, atol=1e-12)


@pytest.mark.games("kuhn", "kuhn_3p", "goofspiel")
def test_mixture_table_equals_openspiel_aggregate(case: Any, mixed: tuple) -> None:
    """OpenSpiel's own aggregation, wherever the mixture can lead."""
    tree = case.tree
    populations, meta_strategy = mixed
    policies = []
    for player, population in enumerate(populations):
        whole = [tree.uniform_policy() for _ in population]
        for table, policy in zip(whole, population, strict=True):
            table[tree.infosets_of(player)] = policy.table
        policies.append([table_policy(tree, table) for table in whole])
    aggregate = policy_aggregator.PolicyAggregator(case.game).aggregate(
        list(range(tree.num_players)), policies, [list(marginal) for marginal in meta_strategy.marginals]
    )
    table = mixture_table(tree, populations, meta_strategy)
    plan = mixture_plan(tree, populations, meta_strategy.marginals)
    compared = 0
    for player in range(tree.num_players):
        for infoset in range(*tree.infosets_of(player).indices(tree.num_infosets)):
            if plan[tree.parent_sequence[infoset]] > 0:
                expected = aggregate.policy[player][tree.keys[infoset]]
                actions = list(expected)
                np.testing.assert_allclose(table[infoset, actions], list(expected.values()), atol=1e-12)
                compared += 1
    assert compared > tree.num_infosets / 3


@pytest.mark.games(*MIXED)
def test_mixture_table_is_a_policy_that_earns_like_the_mixture(case: Any, mixed: tuple) -> None:
    tree = case.tree
    table = mixture_table(tree, *mixed)
    np.testing.assert_allclose(table.sum(axis=1), 1.0, atol=1e-12)
    assert (table >= 0).all()
    assert not table[~tree.legal_actions].any()
    result = evaluate_mixture(tree, *mixed)
    plan = traverse.realisation_plan(tree, table)
    np.testing.assert_allclose(traverse.expected_returns(tree, plan), result.expected_returns, atol=1e-12)
    np.testing.assert_allclose(traverse.gains(tree, plan), result.per_player_gain, atol=1e-12)


@pytest.mark.games("kuhn", "repeated_dilemma", "catch", "cliff_walking")
def test_policies_without_weight_do_not_count(case: Any, random_table: Tables) -> None:
    tree = case.tree
    populations, alone = [], []
    for player in range(tree.num_players):
        rows = tree.infosets_of(player)
        other = make_policy(tree, player, random_table(tree, player)[rows])
        populations.append((other, uniform_policy(tree, player)))
        alone.append((uniform_policy(tree, player),))
    one = evaluate_mixture(tree, populations, ProductStrategy((np.array([0.0, 1.0]),) * tree.num_players))
    two = evaluate_mixture(tree, alone, ProductStrategy((np.ones(1),) * tree.num_players))
    np.testing.assert_array_equal(one.per_player_gain, two.per_player_gain)
    np.testing.assert_array_equal(one.expected_returns, two.expected_returns)


def test_figures_of_the_uniform_policy(case: Any) -> None:
    tree = case.tree
    alone = [(uniform_policy(tree, player),) for player in range(tree.num_players)]
    result = evaluate_mixture(tree, alone, ProductStrategy((np.ones(1),) * tree.num_players))
    assert result.nash_conv == pytest.approx(traverse.nash_conv(tree, tree.uniform_policy()), abs=1e-12)
    assert (result.per_player_gain >= 0).all()
    assert result.exploitability * tree.num_players == pytest.approx(result.nash_conv)


@pytest.mark.games("rock_paper_scissors")
def test_gains_are_not_negative_by_rounding(case: Any) -> None:
    tree = case.tree
    pure = [tuple(make_policy(tree, p, np.eye(3)[k : k + 1]) for k in range(3)) for p in range(2)]
    thirds = ProductStrategy((np.full(3, 1 / 3),) * 2)
    result = evaluate_mixture(tree, pure, thirds)
    assert (result.per_player_gain >= 0).all()
    assert result.nash_conv == pytest.approx(0.0, abs=1e-15)


@pytest.mark.games("kuhn", "kuhn_3p", "leduc", "goofspiel", "rock_paper_scissors")
def test_openspiel_policy_answers_for_every_state(case: Any, random_table: Tables) -> None:
    tree, table = case.tree, random_table(case.tree, 0)
    policy = table_policy(tree, table)
    for node in np.flatnonzero(tree.player >= 0)[::7]:
        state, row = case.state_of(int(node)), table[tree.infoset[node]]
        answer = policy.action_probabilities(state)
        assert answer == {action: row[action] for action in state.legal_actions()}
        assert answer == policy.action_probabilities(state, state.current_player())
        assert sum(answer.values()) == pytest.approx(1.0)
        assert all(type(action) is int and type(chance) is float for action, chance in answer.items())


@pytest.mark.games("kuhn")
def test_openspiel_policy_belongs_to_the_game(case: Any) -> None:
    policy = table_policy(case.tree, case.tree.uniform_policy())
    assert policy.player_ids == [0, 1]
    assert exploitability.nash_conv(case.game, policy) == pytest.approx(11 / 12)

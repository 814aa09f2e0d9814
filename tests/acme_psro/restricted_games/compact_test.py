"""The compact form of a restricted game has the returns and best responses of the tree."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.restricted_games.certificate import restricted_nash_conv
from acme_psro.restricted_games.compact import compact_game

Tables = Callable[[GameTree, int], np.ndarray]


def choices_of(tree: GameTree, pure_table: Tables, policies: int) -> np.ndarray:
    """Returns the actions that some of several pure policies take, `[I, A]` bool."""
    return np.any([pure_table(tree, seed) > 0 for seed in range(policies)], axis=0)


def restricted(table: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    weights = table * allowed
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("policies", [1, 2, 5, 50])
def test_nash_conv_and_returns_equal_those_in_the_tree(
    case: Any, policies: int, random_table: Tables, pure_table: Tables
) -> None:
    tree = case.tree
    allowed = choices_of(tree, pure_table, policies)
    table = restricted(random_table(tree, 1), allowed)
    game = compact_game(tree, allowed)
    plans = game.plans(table)
    expected = restricted_nash_conv(tree, allowed, table)
    assert game.nash_conv(plans) == pytest.approx(expected, abs=1e-12 * tree.utility_scale)
    returns = [game.values(plans, player) @ plans[player] for player in range(tree.num_players)]
    np.testing.assert_allclose(
        returns, traverse.expected_returns(tree, traverse.realisation_plan(tree, table)), atol=1e-12
    )


@pytest.mark.parametrize("policies", [2, 50])
def test_plans_become_the_same_table_again_where_play_leads(
    case: Any, policies: int, random_table: Tables, pure_table: Tables
) -> None:
    tree = case.tree
    allowed = choices_of(tree, pure_table, policies)
    table = restricted(random_table(tree, 2), allowed)
    game = compact_game(tree, allowed)
    again = game.table([3.0 * plan for plan in game.plans(table)], allowed)
    np.testing.assert_allclose(again.sum(axis=1), 1.0, atol=1e-12)
    assert not again[~allowed].any()
    for own in game.players:
        np.testing.assert_allclose(again.ravel()[own.cells], table.ravel()[own.cells], atol=1e-12)


def test_values_of_a_policy_add_up_to_its_return(case: Any, random_table: Tables, pure_table: Tables) -> None:
    tree = case.tree
    allowed = choices_of(tree, pure_table, 3)
    game = compact_game(tree, allowed)
    table = restricted(random_table(tree, 3), allowed)
    plans = game.plans(table)
    returns = traverse.expected_returns(tree, traverse.realisation_plan(tree, table))
    for player, own in enumerate(game.players):
        values = game.values(plans, player)
        own.add_later_values(values, own.probabilities(table.ravel()[own.cells]))
        assert values[0] == pytest.approx(returns[player], abs=1e-12 * tree.utility_scale)


def test_without_choices_only_empty_sequences_are_left(case: Any, pure_table: Tables) -> None:
    game = compact_game(case.tree, choices_of(case.tree, pure_table, 1))
    assert [len(own.cells) for own in game.players] == [0] * case.tree.num_players
    assert game.nash_conv([np.ones(1)] * case.tree.num_players) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.games("leduc", "liars_dice", "goofspiel", "kuhn_3p")
def test_what_cannot_be_reached_is_left_out(case: Any, pure_table: Tables) -> None:
    tree = case.tree
    whole = compact_game(tree, tree.legal_actions)
    small = compact_game(tree, choices_of(tree, pure_table, 2))
    assert len(small.ends[0]) < len(whole.ends[0]) / 2
    assert sum(len(own.cells) for own in small.players) < sum(len(own.cells) for own in whole.players) / 2
    assert len(whole.ends[0]) == len(tree.terminal_nodes)


@pytest.mark.games("kuhn")
def test_kuhn_poker_in_which_the_first_player_always_bets(case: Any) -> None:
    """Player 1 then decides once with each card, and player 0 never."""
    tree = case.tree
    allowed = tree.legal_actions.copy()
    allowed[tree.infosets_of(0), 0] = False
    game = compact_game(tree, allowed)
    assert [len(own.first) for own in game.players] == [0, 3]
    keys = [tree.keys[cell // tree.num_actions] for cell in game.players[1].cells]
    assert sorted(keys) == ["0b", "0b", "1b", "1b", "2b", "2b"]
    # Player 1 folds the lowest card and calls with the highest. With the middle one it wins and loses equally
    # often, which is better than to fold, so that it earns (-1 + 0 + 2) / 3.
    values = game.values([np.ones(1), np.ones(7)], 1)
    assert game.players[1].best_value(values) == pytest.approx(1 / 3, abs=1e-12)

"""Policies and the mixtures of populations."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.policies import tabular

Tables = Callable[[GameTree, int], np.ndarray]
pytestmark = pytest.mark.games("kuhn", "kuhn_3p", "leduc", "repeated_dilemma", "auction", "catch")


def of(tree: GameTree, player: int, table: np.ndarray) -> tabular.Policy:
    return tabular.make_policy(tree, player, table[tree.infosets_of(player)])


def populations_of(tree: GameTree, tables: list[list[np.ndarray]]) -> tuple[tabular.Population, ...]:
    return tuple(tuple(of(tree, p, table) for table in own) for p, own in enumerate(tables))


def test_policy_holds_its_players_rows_and_plan(case: Any, random_table: Tables) -> None:
    tree = case.tree
    table = random_table(tree, 0)
    whole = traverse.realisation_plan(tree, table)
    for player in range(tree.num_players):
        policy = of(tree, player, table)
        rows = tree.infosets_of(player)
        np.testing.assert_array_equal(policy.table, table[rows])
        np.testing.assert_allclose(
            policy.plan[:-1], whole[rows.start * tree.num_actions : rows.stop * tree.num_actions], atol=1e-15
        )
        assert policy.plan[-1] == 1.0
        assert policy.table.dtype == policy.plan.dtype == np.float64


def test_uniform_policy(case: Any) -> None:
    for player in range(case.tree.num_players):
        table = tabular.uniform_policy(case.tree, player).table
        np.testing.assert_array_equal(table, case.tree.uniform_policy()[case.tree.infosets_of(player)])


def spoil(table: np.ndarray, legal: np.ndarray, how: str) -> np.ndarray:
    """The same policy, no longer one."""
    table = table.copy()
    row = int(np.argmax(legal.sum(axis=1)))
    first, second = np.flatnonzero(legal[row])[:2]
    match how:
        case "too few rows":
            return table[:-1]
        case "too few actions":
            return table[:, :-1]
        case "not a number":
            table[row, first] = np.nan
        case "infinite":
            table[row, first] = np.inf
        case "negative":
            # The row still sums to one.
            table[row] = 0.0
            table[row, [first, second]] = [-0.5, 1.5]
        case "sums to less":
            table[row] *= 0.99
        case "all zero":
            table[row] = 0.0
    return table


BROKEN = (
    "too few rows", "too few actions", "not a number", "infinite", "negative", "sums to less", "all zero",
)  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_refuses_what_is_no_policy(case: Any, how: str, random_table: Tables) -> None:
    tree = case.tree
    player = tree.num_players - 1
    rows = tree.infosets_of(player)
    bad = spoil(random_table(tree, 0)[rows], tree.legal_actions[rows], how)
    with pytest.raises(ValueError, match=f"player {player}") as caught:
        tabular.make_policy(tree, player, bad)
    assert "\n" not in str(caught.value)


@pytest.mark.games("leduc", "auction")
def test_refuses_illegal_actions(case: Any) -> None:
    tree = case.tree
    for player in range(tree.num_players):
        rows = tree.infosets_of(player)
        table = np.full(tree.legal_actions[rows].shape, 1.0 / tree.num_actions)
        assert not tree.legal_actions[rows].all()
        with pytest.raises(ValueError, match="illegal"):
            tabular.make_policy(tree, player, table)


def test_accepts_single_precision(case: Any, random_table: Tables) -> None:
    """A network's probabilities sum to one within rounding."""
    table = random_table(case.tree, 1).astype(np.float32)
    assert of(case.tree, 0, table).table.dtype == np.float64


def test_is_not_touched_by_later_changes_of_the_callers_array(case: Any, random_table: Tables) -> None:
    """Otherwise its table and its plan would disagree."""
    tree = case.tree
    mine = random_table(tree, 2)[tree.infosets_of(0)].copy()
    policy = tabular.make_policy(tree, 0, mine)
    before = policy.table.copy()
    mine[:] = 0.0
    np.testing.assert_array_equal(policy.table, before)


def test_combine_puts_plans_side_by_side(case: Any, random_table: Tables) -> None:
    tree = case.tree
    table = random_table(tree, 3)
    plans = [of(tree, player, table).plan for player in range(tree.num_players)]
    np.testing.assert_allclose(
        tabular.combine(tree, plans), traverse.realisation_plan(tree, table), atol=1e-15
    )


def test_replace_changes_one_players_part(case: Any, random_table: Tables) -> None:
    tree = case.tree
    table, other = random_table(tree, 4), random_table(tree, 5)
    plan = traverse.realisation_plan(tree, table)
    for player in range(tree.num_players):
        rows = tree.infosets_of(player)
        expected = table.copy()
        expected[rows] = other[rows]
        replaced = tabular.replace(tree, plan, player, of(tree, player, other))
        np.testing.assert_allclose(replaced, traverse.realisation_plan(tree, expected), atol=1e-15)
    np.testing.assert_array_equal(plan, traverse.realisation_plan(tree, table))


def test_mixture_is_the_weighted_sum_of_plans(case: Any, random_table: Tables) -> None:
    tree = case.tree
    weights = [np.array([0.25, 0.0, 0.75]) for _ in range(tree.num_players)]
    tables = [[random_table(tree, 10 * p + k) for k in range(3)] for p in range(tree.num_players)]
    plan = tabular.mixture_plan(tree, populations_of(tree, tables), weights)
    for player, own in enumerate(tables):
        rows = tree.infosets_of(player)
        cells = slice(rows.start * tree.num_actions, rows.stop * tree.num_actions)
        expected = sum(
            weight * traverse.realisation_plan(tree, table)[cells]
            for weight, table in zip(weights[player], own, strict=True)
        )
        np.testing.assert_allclose(plan[cells], expected, atol=1e-15)
    assert plan[-1] == 1.0


def test_mixture_with_all_weight_on_one_policy_is_that_policy(case: Any, random_table: Tables) -> None:
    tree = case.tree
    tables = [[random_table(tree, k) for k in range(2)] for _ in range(tree.num_players)]
    weights = [np.array([0.0, 1.0])] * tree.num_players
    plan = tabular.mixture_plan(tree, populations_of(tree, tables), weights)
    np.testing.assert_array_equal(plan, traverse.realisation_plan(tree, tables[0][1]))


def test_mixture_refuses_a_player_too_few(case: Any) -> None:
    tree = case.tree
    populations = [(tabular.uniform_policy(tree, p),) for p in range(tree.num_players)]
    with pytest.raises(ValueError, match="zip"):
        tabular.mixture_plan(tree, populations, [np.ones(1)] * (tree.num_players - 1))


def test_terminal_reach_is_the_product_of_own_choices(case: Any, random_table: Tables) -> None:
    tree = case.tree
    tables = [random_table(tree, seed) for seed in range(2)]
    plans = [traverse.realisation_plan(tree, table) for table in tables]
    for player in range(tree.num_players):
        own = tuple(of(tree, player, table) for table in tables)
        reach = tabular.terminal_reach(tree, player, own)
        assert reach.shape == (2, len(tree.terminal_nodes))
        for row, plan in zip(reach, plans, strict=True):
            np.testing.assert_allclose(row, plan[tree.sequences[tree.terminal_nodes, player]], atol=1e-15)


def test_terminal_reaches_give_expected_returns(case: Any, random_table: Tables) -> None:
    tree = case.tree
    table = random_table(tree, 6)
    reach = np.ones(len(tree.terminal_nodes))
    for player in range(tree.num_players):
        reach = reach * tabular.terminal_reach(tree, player, (of(tree, player, table),))[0]
    expected = traverse.expected_returns(tree, traverse.realisation_plan(tree, table))
    np.testing.assert_allclose(tree.terminal_returns @ reach, expected, atol=1e-12)

"""Tests of exact traversal, compared with OpenSpiel, with plain recursion and with brute force."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms import expected_game_score, exploitability

from acme_psro.games import traverse
from acme_psro.games.tree import CHANCE, GameTree
from acme_psro.policies.as_openspiel import table_policy

Tables = Callable[[GameTree, int], np.ndarray]

# OpenSpiel's own algorithms need information state strings.
OPENSPIEL = (
    "kuhn", "kuhn_3p", "kuhn_4p", "leduc", "isomorphic_leduc", "liars_dice", "goofspiel",
    "rock_paper_scissors", "prisoners_dilemma", "pennies_3p", "auction", "hanabi", "cliff_walking",
    "coordinated_pennies",
)  # fmt: skip
TWO_PLAYER_ZERO_SUM = (
    "kuhn", "leduc", "isomorphic_leduc", "liars_dice", "goofspiel", "rock_paper_scissors",
    "coordinated_pennies",
)  # fmt: skip
# These games have so few pure policies that all of them can be tried.
TINY = ("kuhn", "rock_paper_scissors", "prisoners_dilemma", "pennies_3p", "hanabi", "coordinated_pennies")


def tables(tree: GameTree, random_table: Tables, pure_table: Tables) -> Iterator[np.ndarray]:
    yield tree.uniform_policy()
    yield random_table(tree, 1)
    yield pure_table(tree, 2)


def walked_returns(tree: GameTree, table: np.ndarray) -> np.ndarray:
    """Computes expected returns from the reach probabilities of all nodes, without sequences."""
    reach, total = np.zeros(tree.num_nodes), np.zeros(tree.num_players)
    reach[0] = 1.0
    for node in range(tree.num_nodes):
        total += reach[node] * tree.reward[node]
        for slot in range(tree.num_children[node]):
            child = tree.first_child[node] + slot
            if tree.player[node] == CHANCE:
                reach[child] = reach[node] * tree.probability[child]
            else:
                infoset = tree.infoset[node]
                reach[child] = reach[node] * table[infoset, tree.action_of_slot[infoset, slot]]
    return total


def returns_of(tree: GameTree, table: np.ndarray) -> np.ndarray:
    return traverse.expected_returns(tree, traverse.realisation_plan(tree, table))


def merged(tree: GameTree, table: np.ndarray, player: int, own: np.ndarray) -> np.ndarray:
    """Returns the table with the player's rows replaced by those of another table."""
    rows = tree.infosets_of(player)
    result = table.copy()
    result[rows] = own[rows]
    return result


def pure_policies(tree: GameTree, player: int) -> Iterator[np.ndarray]:
    rows = range(*tree.infosets_of(player).indices(tree.num_infosets))
    for actions in itertools.product(*(np.flatnonzero(tree.legal_actions[row]) for row in rows)):
        table = np.zeros(tree.legal_actions.shape)
        table[list(rows), list(actions)] = 1.0
        yield table


@pytest.mark.games("kuhn", "leduc", "kuhn_3p")
def test_known_nash_conv_of_the_uniform_policy(case: Any) -> None:
    known = {"kuhn_poker": 11 / 12, "leduc_poker": 4.747222222222222, "kuhn_poker(players=3)": 2.0625}
    nash_conv = traverse.nash_conv(case.tree, case.tree.uniform_policy())
    assert nash_conv == pytest.approx(known[case.string], abs=1e-12)


@pytest.mark.games("kuhn")
@pytest.mark.parametrize("alpha", [0.0, 0.2, 1 / 3])
def test_known_equilibria_of_kuhn_poker(case: Any, alpha: float) -> None:
    """In the equilibria of Kuhn (1950), no player can gain, and the first player loses 1/18."""
    bet = {
        "0": alpha, "1": 0.0, "2": 3 * alpha, "0pb": 0.0, "1pb": alpha + 1 / 3, "2pb": 1.0,
        "0p": 1 / 3, "1p": 0.0, "2p": 1.0, "0b": 0.0, "1b": 1 / 3, "2b": 1.0,
    }  # fmt: skip
    table = np.array([[1 - bet[key], bet[key]] for key in case.tree.keys])
    plan = traverse.realisation_plan(case.tree, table)
    np.testing.assert_allclose(traverse.gains(case.tree, plan), 0.0, atol=1e-15)
    np.testing.assert_allclose(traverse.expected_returns(case.tree, plan), [-1 / 18, 1 / 18], atol=1e-15)


@pytest.mark.games(*OPENSPIEL)
@pytest.mark.parametrize("kind", ["uniform", "random"])
def test_gains_equal_openspiel_best_responses(case: Any, kind: str, random_table: Tables) -> None:
    tree = case.tree
    table = tree.uniform_policy() if kind == "uniform" else random_table(tree, 3)
    policy = table_policy(tree, table)
    expected = exploitability.nash_conv(case.game, policy, return_only_nash_conv=False)
    gains = traverse.gains(tree, traverse.realisation_plan(tree, table))
    np.testing.assert_allclose(gains, expected.player_improvements, atol=1e-9)
    assert traverse.nash_conv(tree, table) == pytest.approx(expected.nash_conv, abs=1e-9)


@pytest.mark.games(*TWO_PLAYER_ZERO_SUM)
def test_exploitability_equals_openspiel_in_cpp(case: Any, random_table: Tables, pure_table: Tables) -> None:
    tree = case.tree
    for table in tables(tree, random_table, pure_table):
        lookup = {
            key: [(int(action), float(row[action])) for action in np.flatnonzero(legal)]
            for key, row, legal in zip(tree.keys, table, tree.legal_actions, strict=True)
        }
        expected = pyspiel.exploitability(case.game, pyspiel.TabularPolicy(lookup))
        assert traverse.nash_conv(tree, table) / 2 == pytest.approx(expected, abs=1e-9)


@pytest.mark.games(*(name for name in OPENSPIEL if name not in ("kuhn_4p", "leduc", "liars_dice")))
def test_expected_returns_equal_openspiel(case: Any, random_table: Tables, pure_table: Tables) -> None:
    for table in tables(case.tree, random_table, pure_table):
        policy = table_policy(case.tree, table)
        policies = [policy] * case.tree.num_players
        expected = expected_game_score.policy_value(case.game.new_initial_state(), policies)
        np.testing.assert_allclose(returns_of(case.tree, table), expected, atol=1e-12)


def test_expected_returns_equal_a_walk_over_all_nodes(
    case: Any, random_table: Tables, pure_table: Tables
) -> None:
    for table in tables(case.tree, random_table, pure_table):
        np.testing.assert_allclose(returns_of(case.tree, table), walked_returns(case.tree, table), atol=1e-12)


def test_realisation_plan_is_a_flow(case: Any, random_table: Tables) -> None:
    """Probability flows from an information state to its legal actions, and none of it is lost."""
    tree = case.tree
    plan = traverse.realisation_plan(tree, random_table(tree, 4))
    rows = plan[:-1].reshape(tree.num_infosets, tree.num_actions)
    assert plan[tree.empty_sequence] == 1.0
    np.testing.assert_allclose(rows.sum(axis=1), plan[tree.parent_sequence], atol=1e-12)
    assert not rows[~tree.legal_actions].any()


def test_behaviour_inverts_realisation_plan(case: Any, random_table: Tables) -> None:
    table = random_table(case.tree, 5)
    again = traverse.behaviour(case.tree, traverse.realisation_plan(case.tree, table))
    np.testing.assert_allclose(again, table, atol=1e-12)


def test_behaviour_is_uniform_where_the_plan_never_goes(case: Any, pure_table: Tables) -> None:
    tree = case.tree
    plan = traverse.realisation_plan(tree, pure_table(tree, 6))
    table = traverse.behaviour(tree, plan)
    never = plan[tree.parent_sequence] == 0
    np.testing.assert_array_equal(table[never], tree.uniform_policy()[never])
    np.testing.assert_allclose(table.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(traverse.realisation_plan(tree, table), plan, atol=1e-12)


def test_mixed_plans_play_like_the_mixture(case: Any, random_table: Tables, pure_table: Tables) -> None:
    """By Kuhn's theorem, one behaviour policy has the same returns as a mixture of policies."""
    tree, weights = case.tree, np.array([0.5, 0.2, 0.3])
    choices = list(tables(tree, random_table, pure_table))
    others = random_table(tree, 7)
    for player in range(tree.num_players):
        mixed = [merged(tree, others, player, own) for own in choices]
        plan = weights @ np.stack([traverse.realisation_plan(tree, table) for table in mixed])
        expected = weights @ np.stack([returns_of(tree, table) for table in mixed])
        np.testing.assert_allclose(traverse.expected_returns(tree, plan), expected, atol=1e-12)
        np.testing.assert_allclose(returns_of(tree, traverse.behaviour(tree, plan)), expected, atol=1e-12)


def test_gains_are_never_negative(case: Any, random_table: Tables, pure_table: Tables) -> None:
    for table in tables(case.tree, random_table, pure_table):
        gains = traverse.gains(case.tree, traverse.realisation_plan(case.tree, table))
        assert gains.shape == (case.tree.num_players,)
        assert gains.min() >= -1e-12 * case.tree.utility_scale


def test_best_response_earns_what_it_says(case: Any, random_table: Tables) -> None:
    tree = case.tree
    table = random_table(tree, 8)
    plan = traverse.realisation_plan(tree, table)
    for player in range(tree.num_players):
        best = traverse.best_response(tree, plan, player)
        earned = returns_of(tree, merged(tree, table, player, best.table))[player]
        assert best.value == pytest.approx(earned, abs=1e-12)


def test_best_response_is_a_pure_policy_in_its_players_rows(case: Any, random_table: Tables) -> None:
    tree = case.tree
    plan = traverse.realisation_plan(tree, random_table(tree, 9))
    for player in range(tree.num_players):
        table = traverse.best_response(tree, plan, player).table
        own = np.zeros(tree.num_infosets, bool)
        own[tree.infosets_of(player)] = True
        assert not table[~own].any()
        assert not table[~tree.legal_actions].any()
        np.testing.assert_array_equal(table[own].max(axis=1), 1.0)
        np.testing.assert_array_equal(table[own].sum(axis=1), 1.0)


def test_nothing_is_gained_over_a_best_response(case: Any, random_table: Tables) -> None:
    tree = case.tree
    table = random_table(tree, 10)
    for player in range(tree.num_players):
        best = traverse.best_response(tree, traverse.realisation_plan(tree, table), player)
        after = traverse.realisation_plan(tree, merged(tree, table, player, best.table))
        assert traverse.best_response(tree, after, player).value == pytest.approx(best.value, abs=1e-12)
        assert traverse.gains(tree, after)[player] == pytest.approx(0.0, abs=1e-12 * tree.utility_scale)


def test_values_of_several_best_responses_are_those_of_each(case: Any, random_table: Tables) -> None:
    tree = case.tree
    plans = [traverse.realisation_plan(tree, random_table(tree, seed)) for seed in (3, 4)]
    for player in range(tree.num_players):
        others = np.stack([traverse.others_reach(tree, plan, player) for plan in plans])
        expected = [traverse.best_response(tree, plan, player).value for plan in plans]
        np.testing.assert_allclose(traverse.best_values(tree, others, player), expected, atol=1e-12)


@pytest.mark.games(*TINY)
def test_no_pure_policy_beats_the_best_response(case: Any, random_table: Tables, pure_table: Tables) -> None:
    tree = case.tree
    for table in tables(tree, random_table, pure_table):
        plan = traverse.realisation_plan(tree, table)
        for player in range(tree.num_players):
            earned = [
                returns_of(tree, merged(tree, table, player, own))[player]
                for own in pure_policies(tree, player)
            ]
            best = traverse.best_response(tree, plan, player)
            assert best.value == pytest.approx(max(earned), abs=1e-12)


def test_no_random_policy_beats_the_best_response(case: Any, random_table: Tables) -> None:
    tree = case.tree
    table = random_table(tree, 11)
    plan = traverse.realisation_plan(tree, table)
    for player in range(tree.num_players):
        best = traverse.best_response(tree, plan, player).value
        for seed in range(20, 25):
            own = merged(tree, table, player, random_table(tree, seed))
            assert returns_of(tree, own)[player] <= best + 1e-12


def test_ties_are_broken_without_loss(case: Any, random_table: Tables, pure_table: Tables) -> None:
    """The second plan changes the response only if the actions have equal value against the first."""
    tree = case.tree
    table, second = pure_table(tree, 12), random_table(tree, 13)
    plan, otherwise = (traverse.realisation_plan(tree, each) for each in (table, second))
    for player in range(tree.num_players):
        plain = traverse.best_response(tree, plan, player)
        broken = traverse.best_response(tree, plan, player, otherwise=otherwise)
        tolerance = 1e-12 * tree.utility_scale
        assert broken.value == pytest.approx(plain.value, abs=tolerance)
        first = returns_of(tree, merged(tree, table, player, broken.table))[player]
        assert first == pytest.approx(plain.value, abs=tolerance)
        against_second = [
            returns_of(tree, merged(tree, second, player, best.table))[player] for best in (plain, broken)
        ]
        assert against_second[1] >= against_second[0] - tolerance


@pytest.mark.games("kuhn", "leduc", "goofspiel")
def test_breaking_ties_answers_the_second_plan_where_the_first_never_leads(
    case: Any, random_table: Tables, pure_table: Tables
) -> None:
    tree = case.tree
    table, second = pure_table(tree, 14), random_table(tree, 15)
    plan, otherwise = (traverse.realisation_plan(tree, each) for each in (table, second))
    gained = []
    for player in range(tree.num_players):
        plain = traverse.best_response(tree, plan, player)
        broken = traverse.best_response(tree, plan, player, otherwise=otherwise)
        earned = [
            returns_of(tree, merged(tree, second, player, best.table))[player] for best in (plain, broken)
        ]
        gained.append(earned[1] - earned[0])
    assert max(gained) > 1e-3


def test_ties_against_itself_change_nothing(case: Any, random_table: Tables) -> None:
    plan = traverse.realisation_plan(case.tree, random_table(case.tree, 16))
    for player in range(case.tree.num_players):
        plain = traverse.best_response(case.tree, plan, player)
        broken = traverse.best_response(case.tree, plan, player, otherwise=plan)
        np.testing.assert_array_equal(plain.table, broken.table)


@pytest.mark.games("kuhn", "leduc", "repeated_dilemma")
def test_arguments_are_left_alone(case: Any, random_table: Tables) -> None:
    table = random_table(case.tree, 17)
    plan = traverse.realisation_plan(case.tree, table)
    before = table.copy(), plan.copy()
    traverse.best_response(case.tree, plan, 0, otherwise=plan)
    traverse.gains(case.tree, plan)
    traverse.behaviour(case.tree, plan)
    np.testing.assert_array_equal(table, before[0])
    np.testing.assert_array_equal(plan, before[1])

"""Realisation plans are exactly the solutions of the constraints, and payoffs are bilinear in them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.games import sequence_form, traverse
from acme_psro.games.tree import GameTree

Tables = Callable[[GameTree, int], np.ndarray]
Compiled = Callable[[str], GameTree]

TWO_PLAYERS = (
    "kuhn",
    "leduc",
    "liars_dice",
    "goofspiel",
    "rock_paper_scissors",
    "prisoners_dilemma",
    "auction",
)


def half_of_actions(tree: GameTree, seed: int) -> np.ndarray:
    """Returns about half of the legal actions, at least one at each information state, `[I, A]` bool."""
    rng = np.random.default_rng(seed)
    allowed = tree.legal_actions & (rng.random(tree.legal_actions.shape) < 0.5)
    return np.where(allowed.any(axis=1, keepdims=True), allowed, tree.legal_actions)


def restrict(table: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    weights = table * allowed
    return weights / weights.sum(axis=1, keepdims=True)


def used_by(tree: GameTree, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the used terminal nodes and sequences of a restricted game."""
    terminals = sequence_form.used_terminals(tree, sequence_form.own_reach(tree, allowed))
    return terminals, sequence_form.used_sequences(tree, terminals)


def test_plans_satisfy_the_constraints(case: Any, random_table: Tables, pure_table: Tables) -> None:
    tree = case.tree
    for table in (random_table(tree, 0), pure_table(tree, 1)):
        plan = traverse.realisation_plan(tree, table)
        for player in range(tree.num_players):
            constraints = sequence_form.plan_constraints(tree, player)
            own = plan[constraints.sequences]
            np.testing.assert_allclose(constraints.matrix @ own, constraints.right, atol=1e-12)


def test_constraints_of_kuhn_poker(compiled: Compiled) -> None:
    """Each player has a bet and a pass at six information states, and three of player 0's follow its pass."""
    tree = compiled("kuhn_poker")
    first, second = (sequence_form.plan_constraints(tree, player) for player in range(2))
    assert first.matrix.shape == second.matrix.shape == (7, 13)
    by_key = dict(zip((tree.keys[i] for i in first.infosets), first.matrix.toarray()[:-1], strict=True))
    for card in "012":
        opening, later = tree.keys.index(card), tree.keys.index(f"{card}pb")
        row = dict(zip(first.sequences, by_key[f"{card}pb"], strict=True))
        passed, bet = 2 * later, 2 * later + 1
        assert {number: entry for number, entry in row.items() if entry} == {
            2 * opening: -1.0, passed: 1.0, bet: 1.0,
        }  # fmt: skip
    np.testing.assert_array_equal(first.right, [0, 0, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(first.matrix.toarray()[-1], np.eye(13)[-1])


@pytest.mark.games(*TWO_PLAYERS)
def test_payoffs_are_bilinear_in_plans(case: Any, random_table: Tables) -> None:
    tree = case.tree
    plan = traverse.realisation_plan(tree, random_table(tree, 3))
    rows, columns = (sequence_form.plan_constraints(tree, player) for player in range(2))
    for player, expected in enumerate(traverse.expected_returns(tree, plan)):
        payoffs = sequence_form.payoff_matrix(tree, rows, columns, player)
        found = plan[rows.sequences] @ payoffs @ plan[columns.sequences]
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.games(*TWO_PLAYERS)
@pytest.mark.parametrize("seed", range(3))
def test_restricted_payoffs_are_those_of_the_game(case: Any, seed: int, random_table: Tables) -> None:
    tree, allowed = case.tree, half_of_actions(case.tree, seed)
    plan = traverse.realisation_plan(tree, restrict(random_table(tree, seed), allowed))
    terminals, used = used_by(tree, allowed)
    rows, columns = (sequence_form.plan_constraints(tree, player, used) for player in range(2))
    for each in (rows, columns):
        np.testing.assert_allclose(each.matrix @ plan[each.sequences], each.right, atol=1e-12)
        assert used[each.sequences].all()
    payoffs = sequence_form.payoff_matrix(tree, rows, columns, terminals=terminals)
    expected = traverse.expected_returns(tree, plan)[0]
    assert plan[rows.sequences] @ payoffs @ plan[columns.sequences] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_used_sequences_are_those_that_full_support_reaches(case: Any, seed: int) -> None:
    tree, allowed = case.tree, half_of_actions(case.tree, seed)
    plan = traverse.realisation_plan(tree, restrict(tree.uniform_policy(), allowed))
    np.testing.assert_array_equal(sequence_form.own_reach(tree, allowed), plan > 0)
    terminals, used = used_by(tree, allowed)
    np.testing.assert_array_equal(terminals, (plan[tree.terminal_sequences] > 0).all(axis=0))
    # By a walk over nodes: a sequence is used if some node after it can be reached by all players.
    reached = (plan[tree.sequences] > 0).all(axis=1)
    expected = np.zeros_like(used)
    expected[tree.sequences[reached].ravel()] = True
    np.testing.assert_array_equal(used, expected)

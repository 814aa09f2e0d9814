"""Allowed actions are those that responses take."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.games.tree import GameTree
from acme_psro.policies.tabular import Policy, make_policy, uniform_policy
from acme_psro.restricted_games.game import allowed_actions, check_allowed, count_allowed

Tables = Callable[[GameTree, int], np.ndarray]
Compiled = Callable[[str], GameTree]
# In OpenSpiel's Kuhn poker.
PASS, BET = 0, 1


def responses(tree: GameTree, tables: list[np.ndarray]) -> list[tuple[Policy, ...]]:
    """Returns a population for each player: the uniform policy, and one from each table."""
    return [
        (
            uniform_policy(tree, player),
            *(make_policy(tree, player, table[tree.infosets_of(player)]) for table in tables),
        )
        for player in range(tree.num_players)
    ]


def test_union_of_pure_responses(case: Any, pure_table: Tables) -> None:
    tree = case.tree
    tables = [pure_table(tree, seed) for seed in range(3)]
    allowed = allowed_actions(tree, responses(tree, tables), first=1)
    np.testing.assert_array_equal(allowed, (tables[0] + tables[1] + tables[2]) > 0)
    check_allowed(tree, allowed)


def test_more_responses_never_remove_actions(case: Any, pure_table: Tables) -> None:
    tree = case.tree
    tables = [pure_table(tree, seed) for seed in range(5)]
    before = allowed_actions(tree, responses(tree, tables[:1]), first=1)
    for n in range(2, 6):
        after = allowed_actions(tree, responses(tree, tables[:n]), first=1)
        assert not (before & ~after).any()
        before = after


@pytest.mark.parametrize("first", [1, 7])
def test_all_actions_are_allowed_without_responses(case: Any, first: int) -> None:
    allowed = allowed_actions(case.tree, responses(case.tree, []), first=first)
    np.testing.assert_array_equal(allowed, case.tree.legal_actions)


def test_initial_policies_count_only_if_asked_for(compiled: Compiled, pure_table: Tables) -> None:
    tree = compiled("kuhn_poker")
    populations = responses(tree, [pure_table(tree, 0)])
    np.testing.assert_array_equal(allowed_actions(tree, populations), tree.legal_actions)
    np.testing.assert_array_equal(allowed_actions(tree, populations, first=1), pure_table(tree, 0) > 0)


def test_player_without_responses_is_free(compiled: Compiled, pure_table: Tables) -> None:
    tree = compiled("kuhn_poker")
    populations = responses(tree, [pure_table(tree, 0)])
    allowed = allowed_actions(tree, [populations[0], populations[1][:1]], first=1)
    own, other = tree.infosets_of(0), tree.infosets_of(1)
    np.testing.assert_array_equal(allowed[own], pure_table(tree, 0)[own] > 0)
    np.testing.assert_array_equal(allowed[other], tree.legal_actions[other])


def test_information_states_that_a_response_avoids(compiled: Compiled) -> None:
    """Player 0 of Kuhn poker who always bets never comes to its second decision."""
    tree = compiled("kuhn_poker")
    always_bets = np.tile(np.eye(2)[BET], (tree.num_infosets, 1))
    populations = responses(tree, [always_bets])
    everywhere = allowed_actions(tree, populations, first=1)
    reached = allowed_actions(tree, populations, first=1, reached_only=True)
    np.testing.assert_array_equal(everywhere, always_bets > 0)
    later = [tree.keys.index(f"{card}pb") for card in "012"]
    assert reached[later].all()
    others = np.delete(np.arange(tree.num_infosets), later)
    np.testing.assert_array_equal(reached[others], always_bets[others] > 0)
    # Neither way does player 0 come to these in the restricted game.
    for allowed in (everywhere, reached):
        counts = count_allowed(tree, allowed)
        np.testing.assert_array_equal(counts.infosets, [3, 6])
        np.testing.assert_array_equal(counts.actions, [3, 6])


def test_threshold_leaves_out_rare_actions(compiled: Compiled) -> None:
    tree = compiled("kuhn_poker")
    table = np.tile([0.99, 0.01], (tree.num_infosets, 1))
    populations = responses(tree, [table])
    np.testing.assert_array_equal(allowed_actions(tree, populations, first=1), tree.legal_actions)
    np.testing.assert_array_equal(allowed_actions(tree, populations, first=1, threshold=0.05), table > 0.5)


def test_whole_game_counts_all_actions(case: Any) -> None:
    counts = count_allowed(case.tree, case.tree.legal_actions)
    assert counts.infosets.sum() == case.infosets
    assert counts.actions.sum() == case.tree.legal_actions.sum()


def test_bad_populations_are_refused(compiled: Compiled) -> None:
    tree = compiled("kuhn_poker")
    populations = responses(tree, [])
    with pytest.raises(ValueError, match=r"^this game has 2 players, but there are 1 populations\.$"):
        allowed_actions(tree, populations[:1])
    with pytest.raises(
        ValueError, match=r"^the index of the first response must not be negative, and is -1\.$"
    ):
        allowed_actions(tree, populations, first=-1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda allowed: allowed[:-1],
            "must be a boolean array of shape (936, 3), and are bool of shape (935, 3)",
        ),
        (lambda allowed: allowed.astype(float), "and are float64 of shape"),
        (np.ones_like, "an action that is not legal is among the allowed ones; leave it out."),
        (np.zeros_like, "no action is allowed at information state 0; allow at least one at each."),
    ],
)
def test_bad_restricted_games_are_refused(
    spoil: Callable[[np.ndarray], np.ndarray], message: str, compiled: Compiled
) -> None:
    tree = compiled("leduc_poker")
    with pytest.raises(ValueError, match=re.escape(message)):
        check_allowed(tree, spoil(tree.legal_actions))

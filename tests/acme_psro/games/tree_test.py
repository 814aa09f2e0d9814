"""Tests of properties that hold in each compiled game."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from acme_psro.games.tree import CHANCE, NO_INFOSET, TERMINAL, GameTree

pytestmark = pytest.mark.slow_games


def test_shapes_agree(case: Any) -> None:
    tree = case.tree
    nodes, infosets, players = tree.num_nodes, tree.num_infosets, case.game.num_players()
    assert tree.num_players == players
    assert tree.num_actions == case.game.num_distinct_actions()
    for field in ("player", "infoset", "parent", "slot", "first_child", "num_children", "probability"):
        assert getattr(tree, field).shape == (nodes,)
    assert tree.reward.shape == (nodes, players)
    assert tree.info_state.shape[0] == len(tree.keys) == infosets
    assert len(tree.level_offsets) == players
    assert tree.game_string == str(case.game)


def test_dtypes_are_as_documented(case: Any) -> None:
    tree = case.tree
    assert tree.player.dtype == np.int8
    for field in ("infoset", "parent", "slot", "first_child", "num_children", "action_of_slot", "sequences"):
        assert getattr(tree, field).dtype == np.int32
    assert tree.probability.dtype == tree.reward.dtype == np.float64
    assert tree.info_state.dtype == np.float32
    assert tree.legal_actions.dtype == bool


def test_children_are_contiguous_and_know_their_parent(case: Any) -> None:
    tree = case.tree
    assert tree.parent[0] == 0
    inner = np.flatnonzero(tree.num_children)
    np.testing.assert_array_equal(tree.num_children == 0, tree.player == TERMINAL)
    np.testing.assert_array_equal(tree.first_child[tree.player == TERMINAL], 0)
    children = np.arange(1, tree.num_nodes)
    parents = tree.parent[children]
    np.testing.assert_array_equal(children, tree.first_child[parents] + tree.slot[children])
    assert (tree.slot[children] < tree.num_children[parents]).all()
    assert tree.num_children[inner].sum() == tree.num_nodes - 1


def test_nodes_are_ordered_by_depth(case: Any) -> None:
    tree = case.tree
    offsets = tree.depth_offsets
    assert (offsets[0], offsets[1], offsets[-1]) == (0, 1, tree.num_nodes)
    assert (np.diff(offsets) > 0).all()
    depth = np.searchsorted(offsets, np.arange(tree.num_nodes), side="right") - 1
    np.testing.assert_array_equal(depth[1:], depth[tree.parent[1:]] + 1)


def test_chance_sums_to_one(case: Any) -> None:
    tree = case.tree
    total = np.bincount(tree.parent[1:], weights=tree.probability[1:], minlength=tree.num_nodes)
    np.testing.assert_allclose(total[tree.player == CHANCE], 1.0, atol=1e-12)
    np.testing.assert_array_equal(tree.probability[1:][tree.player[tree.parent[1:]] != CHANCE], 1.0)


def test_information_states_are_ordered_by_player_and_level(case: Any) -> None:
    tree = case.tree
    ends = [tree.infosets_of(player) for player in range(tree.num_players)]
    assert ends[0].start == 0
    assert ends[-1].stop == tree.num_infosets
    assert all(one.stop == two.start for one, two in itertools.pairwise(ends))
    for player, offsets in enumerate(tree.level_offsets):
        assert (np.diff(offsets) > 0).all()
        for level, (start, stop) in enumerate(itertools.pairwise(offsets)):
            before = tree.parent_sequence[start:stop]
            if level == 0:
                np.testing.assert_array_equal(before, tree.empty_sequence)
            else:
                previous = before // tree.num_actions
                assert (offsets[level - 1] <= previous).all()
                assert (previous < offsets[level]).all()
        here = tree.infosets_of(player)
        owned = np.unique(tree.infoset[tree.player == player])
        np.testing.assert_array_equal(owned, np.arange(here.start, here.stop))


def test_everyone_in_an_information_state_has_the_same_choice(case: Any) -> None:
    tree = case.tree
    nodes = np.flatnonzero(tree.infoset != NO_INFOSET)
    np.testing.assert_array_equal(nodes, np.flatnonzero(tree.player >= 0))
    choices = tree.legal_actions.sum(axis=1)
    assert (choices > 0).all()
    np.testing.assert_array_equal(tree.num_children[nodes], choices[tree.infoset[nodes]])


def test_slots_put_legal_actions_first_and_in_order(case: Any) -> None:
    tree = case.tree
    np.testing.assert_array_equal(
        np.sort(tree.action_of_slot, axis=1), np.tile(np.arange(tree.num_actions), (tree.num_infosets, 1))
    )
    by_slot = np.take_along_axis(tree.legal_actions, tree.action_of_slot, axis=1)
    choices = tree.legal_actions.sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(by_slot, np.arange(tree.num_actions) < choices)
    ascending = np.diff(tree.action_of_slot, axis=1) > 0
    assert ascending[by_slot[:, 1:]].all()


def test_sequences_change_only_where_their_player_moved(case: Any) -> None:
    tree = case.tree
    np.testing.assert_array_equal(tree.sequences[0], tree.empty_sequence)
    children = np.arange(1, tree.num_nodes)
    parents = tree.parent[children]
    for player in range(tree.num_players):
        moved = tree.player[parents] == player
        now = tree.sequences[children, player]
        np.testing.assert_array_equal(now[~moved], tree.sequences[parents, player][~moved])
        infosets = tree.infoset[parents][moved]
        actions = tree.action_of_slot[infosets, tree.slot[children][moved]]
        np.testing.assert_array_equal(now[moved], infosets * tree.num_actions + actions)


def test_terminal_returns_weigh_openspiel_returns_by_chance(case: Any) -> None:
    tree = case.tree
    rng = np.random.default_rng(0)
    for place in rng.choice(len(tree.terminal_nodes), size=min(30, len(tree.terminal_nodes)), replace=False):
        state = case.state_of(int(tree.terminal_nodes[place]))
        assert state.is_terminal()
        reach, before = 1.0, case.game.new_initial_state()
        for action in state.history():
            if before.is_chance_node():
                reach *= dict(before.chance_outcomes())[action]
            before.apply_action(action)
        expected = np.array(state.returns()) * reach
        np.testing.assert_allclose(tree.terminal_returns[:, place], expected, atol=1e-12)
        np.testing.assert_array_equal(
            tree.terminal_sequences[:, place], tree.sequences[tree.terminal_nodes[place]]
        )


def test_chance_reaches_the_ends_with_probability_one_under_a_uniform_policy(case: Any) -> None:
    tree = case.tree
    policy = np.append(tree.uniform_policy().ravel(), 1.0)
    reach = tree.probability.copy()
    for start, stop in itertools.pairwise(tree.depth_offsets[1:]):
        parents = tree.parent[start:stop]
        movers = tree.player[parents]
        moved = tree.sequences[np.arange(start, stop), np.maximum(movers, 0)]
        reach[start:stop] *= reach[parents] * np.where(movers >= 0, policy[moved], 1.0)
    assert reach[tree.terminal_nodes].sum() == pytest.approx(1.0, abs=1e-10)


def test_uniform_policy(case: Any) -> None:
    policy = case.tree.uniform_policy()
    np.testing.assert_array_equal(policy > 0, case.tree.legal_actions)
    np.testing.assert_allclose(policy.sum(axis=1), 1.0, atol=1e-15)
    assert all(len(np.unique(row[row > 0])) == 1 for row in policy[:100])


ZERO_SUM = (
    "kuhn", "kuhn_3p", "kuhn_4p", "leduc", "liars_dice", "goofspiel", "rock_paper_scissors",
    "isomorphic_leduc", "coordinated_pennies",
)  # fmt: skip


@pytest.mark.games(*ZERO_SUM)
def test_zero_sum_games_are_known_as_such(case: Any) -> None:
    assert case.tree.zero_sum


@pytest.mark.games("prisoners_dilemma", "auction", "hanabi", "repeated_dilemma", "pennies_3p", "catch")
def test_general_sum_games_are_known_as_such(case: Any) -> None:
    assert not case.tree.zero_sum


@pytest.mark.games("kuhn", "leduc", "prisoners_dilemma", "repeated_dilemma")
def test_utility_scale_is_the_largest_return(case: Any) -> None:
    scale = {"kuhn_poker": 2.0, "leduc_poker": 13.0, "matrix_pd": 10.0}
    expected = scale.get(case.string, 30.0)
    assert case.tree.utility_scale == expected


@pytest.mark.games("kuhn")
def test_a_game_that_pays_nothing_has_scale_one(case: Any) -> None:
    worthless = dataclasses.replace(case.tree, reward=np.zeros_like(case.tree.reward))
    assert worthless.utility_scale == 1.0
    assert worthless.zero_sum


@pytest.mark.games("kuhn")
def test_a_tree_cannot_be_altered_by_assignment(case: Any) -> None:
    tree: GameTree = case.tree
    with pytest.raises(dataclasses.FrozenInstanceError):
        tree.num_players = 3  # type: ignore[misc]

"""Tests of members that share a network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyspiel
import pytest

from acme_psro.agent_runs.neupl_program.members import Members, make_contexts
from acme_psro.games.tree import GameTree


@pytest.fixture
def members(probs: Callable[..., Any], graph: np.ndarray) -> Members:
    return Members("kuhn_poker", probs, lambda: "newest", graph)


def states_of(player: int) -> list[pyspiel.State]:
    """Returns states in which a player is to move."""
    found = []
    for cards in ((0, 1), (1, 0), (2, 0), (2, 1)):
        state = pyspiel.load_game("kuhn_poker").new_initial_state()
        for action in (*cards, *([1] if player else [])):
            state.apply_action(action)
        found.append(state)
    return found


def expected(tree: GameTree, tables: np.ndarray, states: list[Any], player: int, index: Any) -> np.ndarray:
    rows = tree.infosets_of(player)
    keys = [state.information_state_string(player) for state in states]
    return np.stack(
        [
            tables[member, rows][list(tree.keys[rows]).index(key)]
            for member, key in zip(index, keys, strict=True)
        ]
    )


def test_a_context_is_the_row_and_the_player() -> None:
    found = make_contexts(np.array([[0.25, 0.75], [1.0, 0.0]]), 1)
    np.testing.assert_array_equal(found, np.array([[0.25, 0.75, 1], [1, 0, 1]], np.float32))


@pytest.mark.parametrize("player", [0, 1])
def test_each_state_is_answered_by_its_own_member(
    player: int, members: Members, tree: GameTree, tables: np.ndarray
) -> None:
    states, index = states_of(player), np.array([3, 0, 1, 2])
    found = members.probabilities(states, player, members.number(index))
    np.testing.assert_allclose(found, expected(tree, tables, states, player, index), atol=1e-12)


def test_many_states_are_answered_as_few_are(members: Members) -> None:
    states = states_of(0) * 300
    index = np.arange(len(states)) % 4
    found = members.probabilities(states, 0, index)
    one_by_one = np.concatenate(
        [members.probabilities([s], 0, index[[i]]) for i, s in enumerate(states[:40])]
    )
    np.testing.assert_array_equal(found[:40], one_by_one)
    np.testing.assert_array_equal(found[:40], found[1000:1040])


def test_the_sink_plays_uniformly_whatever_the_network_says(graph: np.ndarray) -> None:
    def broken(variables: Any, observation: Any) -> np.ndarray:
        return np.full(observation.legal_actions.shape, np.nan)

    members = Members("kuhn_poker", broken, lambda: None, graph)
    found = members.probabilities(states_of(1), 1, np.zeros(4, int))
    np.testing.assert_array_equal(found, np.full((4, 2), 0.5))


def test_a_sink_may_be_given(probs: Callable[..., Any], graph: np.ndarray, members: Members) -> None:
    def second_action(states: Any, player: int) -> np.ndarray:
        assert player == 1
        return np.tile([0.0, 1.0], (len(states), 1))

    given = Members("kuhn_poker", probs, lambda: "newest", graph, {1: second_action})
    index = np.array([0, 2, 0, 1])
    found = given.probabilities(states_of(1), 1, given.number(index))
    np.testing.assert_array_equal(found[[0, 2]], [[0, 1], [0, 1]])
    for player, rows in ((0, slice(None)), (1, [1, 3])):
        usual = members.probabilities(states_of(player), player, members.number(index))
        same = given.probabilities(states_of(player), player, given.number(index))
        np.testing.assert_array_equal(same[rows], usual[rows])


def test_fixed_members_play_by_policies_of_their_own_from_the_graph_on_that_fixes_them(
    members: Members, graph: np.ndarray
) -> None:
    def second_action(states: Any, player: int) -> np.ndarray:
        return np.tile([0.0, 1.0], (len(states), 1))

    numbers = members.number(np.array([1, 2, 1, 0]))
    before = members.probabilities(states_of(1)[:4], 1, numbers)
    assert members.is_fixed.tolist() == [[True, False, False, False]] * 2
    members.renew(graph, {(1, 1): second_action})
    assert members.is_fixed.tolist() == [[True, False, False, False], [True, True, False, False]]
    # Games that began before are played to their ends as they began.
    np.testing.assert_array_equal(members.probabilities(states_of(1)[:4], 1, numbers), before)
    after = members.probabilities(states_of(1)[:4], 1, members.number(np.array([1, 2, 1, 0])))
    np.testing.assert_array_equal(after[[0, 2]], [[0, 1], [0, 1]])
    np.testing.assert_array_equal(after[[1, 3]], before[[1, 3]])
    # The other player's member of the same index is not fixed.
    other = members.probabilities(states_of(0)[:1], 0, members.number(np.array([1])))
    assert 0 < other[0, 0] < 1


def test_members_are_asked_together_as_alone(members: Members) -> None:
    policies = members.policies()
    states = states_of(0)
    call, number = policies[2].joint
    assert number == 2 and call is policies[1].joint[0]
    together = call([2, 1], [states[:3], states[3:]], 0)
    np.testing.assert_array_equal(together[0], policies[2](states[:3], 0))
    np.testing.assert_array_equal(together[1], policies[1](states[3:], 0))


def test_games_keep_their_rows_when_the_graph_changes(members: Members, graph: np.ndarray) -> None:
    index = np.array([1, 2])
    before = members.number(index)
    assert members.is_free(before)
    members.renew(graph[::-1])
    np.testing.assert_array_equal(members.rows(0, before), graph[0, index])
    after = members.number(index)
    np.testing.assert_array_equal(members.rows(0, after), graph[1, index])
    np.testing.assert_array_equal(members.index(after), members.index(before))
    np.testing.assert_array_equal(members.graph, graph[::-1])
    # A third graph would take the place of the first, by which games are still played.
    assert not members.is_free(np.concatenate([before, after]))
    assert members.is_free(after)
    members.renew(graph)
    np.testing.assert_array_equal(members.rows(0, members.number(index)), graph[0, index])
    np.testing.assert_array_equal(members.rows(0, after), graph[1, index])


def test_contexts_are_those_of_the_members(members: Members, graph: np.ndarray) -> None:
    found = members.contexts(1, np.array([[0, 3], [2, 1]]))
    assert found.shape == (2, 2, 5)
    np.testing.assert_array_equal(found[1, 0], [*graph[1, 2], 1.0])

"""Tests that a compiled game equals OpenSpiel's, state by state, and of the errors for other games."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyspiel
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.tree import CHANCE, NO_INFOSET, TERMINAL, GameTree

EPISODES = 40


def moves_of(state: Any) -> list[int]:
    return (
        [action for action, _ in state.chance_outcomes()] if state.is_chance_node() else state.legal_actions()
    )


def random_play(case: Any, seed: int = 0) -> Iterator[tuple[int, Any, list[int]]]:
    """Yields the node, its state and the nodes before it, along random episodes."""
    rng = np.random.default_rng(seed)
    for _ in range(EPISODES):
        state, path = case.game.new_initial_state(), [0]
        yield path[-1], state, path
        while not state.is_terminal():
            moves = moves_of(state)
            slot = int(rng.integers(len(moves)))
            state.apply_action(moves[slot])
            path.append(case.tree.first_child[path[-1]] + slot)
            yield path[-1], state, path


@pytest.mark.slow_games
def test_same_player_moves(case: Any) -> None:
    codes = {pyspiel.PlayerId.CHANCE: CHANCE, pyspiel.PlayerId.TERMINAL: TERMINAL}
    for node, state, _ in random_play(case):
        mover = state.current_player()
        assert case.tree.player[node] == codes.get(mover, mover)
        assert (case.tree.infoset[node] == NO_INFOSET) == (mover < 0)


@pytest.mark.slow_games
def test_same_actions_are_legal(case: Any) -> None:
    tree = case.tree
    for node, state, _ in random_play(case):
        assert tree.num_children[node] == len([] if state.is_terminal() else moves_of(state))
        if state.current_player() >= 0:
            infoset = tree.infoset[node]
            np.testing.assert_array_equal(tree.legal_actions[infoset], state.legal_actions_mask())
            slots = len(state.legal_actions())
            assert list(tree.action_of_slot[infoset, :slots]) == state.legal_actions()


@pytest.mark.slow_games
def test_same_observation(case: Any) -> None:
    tree, kind = case.tree, case.game.get_type()
    for node, state, _ in random_play(case):
        player = state.current_player()
        if player < 0:
            continue
        seen = tree.info_state[tree.infoset[node]]
        if kind.provides_information_state_tensor:
            np.testing.assert_array_equal(seen, np.float32(state.information_state_tensor(player)))
        elif kind.provides_observation_tensor:
            np.testing.assert_array_equal(seen, np.float32(state.observation_tensor(player)))
        else:
            # The one-hot position is the index among the player's own information states.
            assert sorted(np.unique(seen)) in ([0.0, 1.0], [1.0])
            assert seen.sum() == 1.0


@pytest.mark.games("coordinated_pennies")
def test_one_hot_observations_differ_within_a_player(case: Any) -> None:
    for player in range(case.tree.num_players):
        seen = case.tree.info_state[case.tree.infosets_of(player)]
        np.testing.assert_array_equal(seen.sum(axis=0)[: len(seen)], 1.0)


@pytest.mark.slow_games
def test_same_information_state(case: Any) -> None:
    tree = case.tree
    for node, state, _ in random_play(case):
        player = state.current_player()
        if player < 0:
            continue
        infoset = tree.infoset[node]
        rows = tree.infosets_of(player)
        assert rows.start <= infoset < rows.stop
        if case.has_strings:
            assert tree.keys[infoset] == state.information_state_string(player)
        else:
            assert tree.keys[infoset].endswith(state.observation_string(player))


@pytest.mark.slow_games
def test_same_chance_probabilities(case: Any) -> None:
    tree = case.tree
    for node, state, _ in random_play(case):
        children = slice(tree.first_child[node], tree.first_child[node] + tree.num_children[node])
        if state.is_chance_node():
            np.testing.assert_array_equal(tree.probability[children], [p for _, p in state.chance_outcomes()])
        elif not state.is_terminal():
            np.testing.assert_array_equal(tree.probability[children], 1.0)


@pytest.mark.slow_games
def test_rewards_along_the_path_add_up_to_returns(case: Any) -> None:
    pays_inside = case.game.get_type().reward_model == pyspiel.GameType.RewardModel.REWARDS
    for node, state, path in random_play(case):
        if state.is_terminal() or pays_inside:
            np.testing.assert_allclose(case.tree.reward[path].sum(axis=0), state.returns(), atol=1e-12)
        else:
            np.testing.assert_array_equal(case.tree.reward[node], 0.0)


@pytest.mark.games("cliff_walking", "repeated_dilemma")
def test_some_games_pay_before_the_end(case: Any) -> None:
    assert case.tree.reward[case.tree.player != TERMINAL].any()


@pytest.mark.slow_games
def test_perfect_recall(case: Any) -> None:
    """All paths to an information state contain the same information states and actions of its player."""
    tree, known = case.tree, {}
    for node, _, path in random_play(case):
        player = tree.player[node]
        if player < 0:
            continue
        own = tuple(
            (tree.infoset[before], tree.slot[after])
            for before, after in itertools.pairwise(path)
            if tree.player[before] == player
        )
        assert known.setdefault(tree.infoset[node], own) == own
        level = np.searchsorted(tree.level_offsets[player], tree.infoset[node], side="right") - 1
        assert level == len(own)


def _count(state: Any, memories: dict[int, tuple], infosets: set, strings: bool) -> int:
    """Counts histories by plain recursion, and collects the information states."""
    if state.is_terminal():
        return 1
    player = state.current_player()
    if player >= 0 and strings:
        infosets.add((player, state.information_state_string(player)))
    elif player >= 0:
        memories = {**memories, player: (*memories.get(player, ()), state.observation_string(player))}
        infosets.add((player, memories[player]))
    count = 1
    for action in moves_of(state):
        after = memories
        if player >= 0 and not strings:
            after = {**memories, player: (*memories[player], action)}
        count += _count(state.child(action), after, infosets, strings)
    return count


def test_has_as_many_nodes_and_infosets_as_a_plain_recursion_finds(case: Any) -> None:
    infosets: set = set()
    count = _count(case.game.new_initial_state(), {}, infosets, case.has_strings)
    assert (
        (case.tree.num_nodes, case.tree.num_infosets) == (count, len(infosets)) == (case.nodes, case.infosets)
    )


@pytest.mark.slow
@pytest.mark.games("tic_tac_toe")
def test_has_as_many_nodes_and_infosets_as_published(case: Any) -> None:
    assert (case.tree.num_nodes, case.tree.num_infosets) == (case.nodes, case.infosets)


@pytest.mark.games("catch", "repeated_dilemma")
def test_games_without_information_states_remember_what_a_player_did(case: Any) -> None:
    assert not case.has_strings
    for player in range(case.tree.num_players):
        first = case.tree.level_offsets[player][1]
        later = slice(first, case.tree.infosets_of(player).stop)
        sequences = case.tree.parent_sequence[later]
        keys = [key.split("|", 1)[1] for key in case.tree.keys[later]]
        assert len(set(zip(keys, sequences, strict=True))) == len(keys)


@pytest.mark.games("kuhn", "leduc", "catch", "cliff_walking", "goofspiel")
def test_compiles_alike_every_time(case: Any) -> None:
    again = compile_game(case.string, cache=False)
    for field in ("player", "infoset", "first_child", "probability", "reward", "legal_actions", "info_state"):
        np.testing.assert_array_equal(getattr(again, field), getattr(case.tree, field))
    assert again.keys == case.tree.keys


def test_imperfect_recall_is_refused(refusal: Any) -> None:
    message = refusal("liars_dice_ir(dice_sides=4)")
    assert "perfect recall" in message
    assert "liars_dice_ir" in message


def test_imperfect_recall_variant_compiles_where_it_forgets_nothing() -> None:
    """With two faces there are too few bids for a player to forget one of its own bids."""
    tree = compile_game("liars_dice_ir(dice_sides=2)", cache=False)
    perfect = compile_game("liars_dice(dice_sides=2)", cache=False)
    assert (tree.num_nodes, tree.num_infosets) == (perfect.num_nodes, perfect.num_infosets)


@pytest.mark.parametrize("limit", [1, 57, 9_456])
def test_refuses_a_game_above_max_nodes_and_says_what_to_do(limit: int, refusal: Any) -> None:
    message = refusal("leduc_poker", max_nodes=limit)
    assert f"more than {limit:,} nodes" in message
    assert "--max_nodes" in message
    assert "leduc_poker" in message


def test_memory_for_information_states_grows_with_max_nodes(
    refusal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acme_psro.games.walk._LEAST_BYTES", 0)
    monkeypatch.setattr("acme_psro.games.walk._BYTES_PER_NODE", 10)
    message = refusal("leduc_poker", max_nodes=9_457)
    assert "need too much memory" in message
    assert "9,457 nodes at most" in message
    assert "--max_nodes" in message
    assert compile_game("leduc_poker", max_nodes=1_000_000, cache=False).num_nodes == 9_457


def test_accepts_a_game_of_exactly_max_nodes(refusal: Any) -> None:
    assert compile_game("kuhn_poker", max_nodes=58, cache=False).num_nodes == 58
    refusal("kuhn_poker", max_nodes=57)


@pytest.mark.parametrize("limit", [0, -1])
def test_refuses_a_limit_below_one(limit: int, refusal: Any) -> None:
    assert "max_nodes" in refusal("kuhn_poker", max_nodes=limit)


def test_large_games_are_refused_soon(refusal: Any) -> None:
    """The enumeration of chess stops at the limit."""
    assert "1,000 nodes" in refusal("chess", max_nodes=1_000)


def test_reports_progress_every_hundred_thousand_nodes(refusal: Any) -> None:
    seen: list[int] = []
    refusal("tic_tac_toe", max_nodes=250_000, on_progress=seen.append)
    assert [count // 100_000 for count in seen] == [1, 2]


EXTENSIVE = """EFG 2 R "shortcut" { "A" "B" } ""
c "" 1 "" { "a" 1/10 "b" 2/10 "c" 7/10 } 0
t "" 1 "" { 1, -1 }
p "" 1 1 "" { "l" "r" } 0
t "" 2 "" { 2, 3 }
t "" 3 "" { -1, 5 }
p "" 2 1 "" { "l" "r" } 0
t "" 4 "" { 0, 0 }
t "" 5 "" { 4, 1 }
"""


def test_compiles_games_from_files(tmp_path: Path) -> None:
    path = tmp_path / "skewed.efg"
    path.write_text(EXTENSIVE)
    tree: GameTree = compile_game(f"efg_game(filename={path})", cache=False)
    np.testing.assert_allclose(tree.probability[1:4], [0.1, 0.2, 0.7])
    assert tree.num_infosets == 2
    assert not tree.zero_sum
    np.testing.assert_allclose(
        tree.terminal_returns.sum(axis=1), [0.1 + 0.4 - 0.2 + 0.0 + 2.8, -0.1 + 0.6 + 1.0 + 0.7]
    )

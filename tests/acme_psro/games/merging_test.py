"""Tests of the search for merged states, and of the nodes that it finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.games import merging
from acme_psro.games.loading import GameError, load_game
from acme_psro.games.merging import MergedGame, MergeError, merge_game
from acme_psro.games.tree import CHANCE, TERMINAL
from acme_psro.games.views import OBSERVATION_STRINGS, OBSERVATION_TENSORS, View, make_view
from tests.acme_psro.games import forgetful  # noqa: F401, registers a game


def merged(game: str, horizon: int = 100, merges_chance: bool = True) -> MergedGame:
    loaded = load_game(game)
    view = make_view(loaded, OBSERVATION_STRINGS)
    return merge_game(game, loaded, view, horizon, 1_000, None, merges_chance)


def test_by_hand() -> None:
    """Player 0 moves, then player 1, then chance tosses a coin; all histories end at one node."""
    found = merged("forgetful(forgets=nothing)")
    assert found.player.tolist() == [0, 1, 1, CHANCE, CHANCE, CHANCE, CHANCE, TERMINAL]
    assert found.successor.tolist() == [1, 2, 3, 4, 5, 6, *[7] * 8]
    assert found.first_edge.tolist() == [0, 2, 4, 6, 8, 10, 12, 0]
    assert found.num_children.tolist() == [2, 2, 2, 2, 2, 2, 2, 0]
    # Both of player 1's nodes look the same to it.
    assert found.observation.tolist() == [0, 1, 1, -1, -1, -1, -1, -1]
    assert found.owner.tolist() == [0, 1]
    assert found.keys == ("0|player 0 at 0", "1|player 1 at 1")
    assert found.legal == [[0, 1], [0, 1]]
    np.testing.assert_array_equal(found.probability, [1.0] * 6 + [0.5] * 8)
    won = [1.0, 2.0, -1.0, -1.0, -1.0, -1.0, 1.0, 2.0]
    np.testing.assert_array_equal(found.reward[6:], np.stack([won, np.negative(won)], axis=1))
    assert not found.reward[:6].any()


@pytest.mark.parametrize(
    ("forgets", "words"),
    [
        ("returns", "what the last move pays"),
        ("actions", "their legal actions"),
        ("chance", "their chance outcomes"),
        ("odds", "what the last move pays"),
    ],
)
def test_arrivals_that_do_not_belong_to_their_node_are_found(forgets: str, words: str) -> None:
    with pytest.raises(MergeError, match=words):
        merged(f"forgetful(forgets={forgets})")


@pytest.mark.parametrize("forgets", ["returns", "chance"])
def test_differences_behind_chance_events_are_found(forgets: str) -> None:
    """Chance nodes that are told apart by their parents are looked behind."""
    with pytest.raises(MergeError):
        merged(f"forgetful(forgets={forgets})", merges_chance=False)


def test_chance_events_may_be_told_apart() -> None:
    assert len(merged("forgetful(forgets=odds)", merges_chance=False).player) == 8


def test_a_hidden_end_is_allowed_at_the_horizon_only() -> None:
    """Nothing describes the time in cliff walking, which ends after five moves."""
    game = load_game("cliff_walking(horizon=5)")
    view = make_view(game, OBSERVATION_TENSORS)
    found = merge_game("cliff", game, view, 5, 100)
    assert (found.successor == np.repeat(np.arange(len(found.player)), found.num_children)).any()
    with pytest.raises(MergeError, match="what the last move leads to, after the moves"):
        merge_game("cliff", game, view, 6, 100)


def test_without_a_sample_only_the_moves_of_arrivals_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "_FIRST_ARRIVALS", 0)
    monkeypatch.setattr(merging, "_SHARE_OF_ARRIVALS", 0.0)
    assert len(merged("forgetful(forgets=returns)").player) == 4
    with pytest.raises(MergeError, match="their legal actions"):
        merged("forgetful(forgets=actions)")


def test_what_players_see_keeps_states_apart() -> None:
    """A view by which players see the whole past leaves the tree, but for its ends."""
    game = load_game("tic_tac_toe")
    blind = View("nothing", lambda state, player: str(state.legal_actions()), None)
    whole = View("everything", lambda state, player: str(state.history()), None)
    sizes = [len(merge_game("game", game, view, 9, 1_000_000).player) for view in (blind,)]
    assert sizes == [4521]
    small = load_game("dark_hex(board_size=2)")
    histories = _count_histories(small.new_initial_state())
    assert len(merge_game("game", small, whole, 9, 1_000_000).player) == histories + 1


def _count_histories(state: Any) -> int:
    """Returns the number of histories from a state on that are not over."""
    if state.is_terminal():
        return 0
    return 1 + sum(_count_histories(state.child(action)) for action in state.legal_actions())


def test_a_view_that_hides_legal_actions_is_refused() -> None:
    with pytest.raises(MergeError, match="does not tell its players which actions are legal"):
        merge_game("ttt", load_game("tic_tac_toe"), View("time", _time, None), 9, 10_000)


def _time(state: Any, player: int) -> str:
    del player
    return str(len(state.history()))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: merge_game("k", *_kuhn(), 5, 28), r"k has more than 28 nodes \(29 counted after merging\)"),
        (lambda: merge_game("k", *_kuhn(64), 5, 28), "more than 28 nodes"),
        (lambda: merge_game("k", *_kuhn(1 << 23), 5, 29), "see needs too much memory"),
    ],
)
def test_limits_hold(make: Callable[[], MergedGame], words: str) -> None:
    with pytest.raises(GameError, match=words):
        make()


def _kuhn(width: int = 0) -> tuple[Any, View]:
    """Returns Kuhn poker, and a view that adds so many numbers to its tensors."""
    game = load_game("kuhn_poker")
    view = make_view(game, OBSERVATION_TENSORS)
    return game, view._replace(numbers=lambda state, player: [0.0] * width) if width else view

"""Tests of what movers see: views that tell a player that remembers all that it should know, and no more."""

from __future__ import annotations

import numpy as np
import pytest

from acme_psro.games.graph import INFORMATION_STATES
from acme_psro.games.information_states import make_namer
from acme_psro.games.loading import GameError, load_game
from acme_psro.games.views import (
    NAMES,
    OBSERVATION_STRINGS,
    OBSERVATION_TENSORS,
    STATE_STRINGS,
    STATE_TENSORS,
    find_views,
    label,
    make_labeller,
    make_view,
)


@pytest.mark.parametrize(
    ("game", "names"),
    [
        ("kuhn_poker", NAMES),
        # Its observations do not tell which actions are legal.
        ("leduc_poker", (STATE_TENSORS, STATE_STRINGS)),
        ("tic_tac_toe", (OBSERVATION_TENSORS, OBSERVATION_STRINGS, STATE_STRINGS)),
        # Observations alone, which are then all that a player should know.
        ("catch", (OBSERVATION_TENSORS, OBSERVATION_STRINGS)),
        # No tensors.
        ("coordinated_mp", (OBSERVATION_STRINGS, STATE_STRINGS)),
        ("phantom_ttt", NAMES),
    ],
)
def test_views_of_games(game: str, names: tuple[str, ...]) -> None:
    views = find_views(load_game(game))
    assert tuple(view.name for view in views) == names
    assert all(not view.remark for view in views)


def test_strings_that_leak_are_found() -> None:
    """The string of dark hex contains the number of moves, and so tells how often the opponent failed."""
    views = find_views(load_game("dark_hex(board_size=2)"))
    assert views[0].name == OBSERVATION_TENSORS
    assert views[0].remark == "its information-state strings tell a player more than the other kind"
    # The form in which a failed move costs the turn keeps nothing secret that the length would tell.
    assert not find_views(load_game("dark_hex(board_size=2,gameversion=adh)"))[0].remark


def test_what_a_view_shows() -> None:
    game = load_game("kuhn_poker")
    state = game.new_initial_state()
    for action in (2, 0, 1):
        state.apply_action(action)
    view = make_view(game, OBSERVATION_TENSORS)
    assert view.numbers is not None
    # Player 1, with the lowest card; player 0 has bet a second coin.
    assert view.numbers(state, 1) == [0, 1, 1, 0, 0, 2, 1]
    np.testing.assert_array_equal(np.frombuffer(view.key(state, 1), np.float32), view.numbers(state, 1))
    assert make_view(game, OBSERVATION_STRINGS).key(state, 1) == "021"
    assert make_view(game, STATE_STRINGS).key(state, 1) == "0b"


def test_strings_have_the_numbers_of_their_kind() -> None:
    game = load_game("kuhn_poker")
    state = game.new_initial_state()
    for name, size in ((OBSERVATION_STRINGS, 7), (STATE_STRINGS, 11)):
        numbers = make_view(game, name).numbers
        assert numbers is not None
        assert len(numbers(state, 0)) == size
    assert make_view(load_game("coordinated_mp"), STATE_STRINGS).numbers is None


def test_names_of_observations() -> None:
    bits = np.array([1, 0, 1, 1, 0, 0, 0, 0, 1], np.float32)
    assert label(0, bits.tobytes()) == "0|b080"
    assert label(1, (2 * bits).tobytes()) == f"1|float32:{(2 * bits).tobytes().hex()}"
    assert label(1, "x..") == "1|x.."


def test_names_of_a_trees_information_states() -> None:
    game = load_game("leduc_poker")
    state = game.new_initial_state()
    for action in (0, 1, 1):
        state.apply_action(action)
    assert make_labeller(game, INFORMATION_STATES)(state, 1) == f"1|{make_namer(game)(state, 1)}"


@pytest.mark.parametrize("name", [STATE_STRINGS, "opinions"])
def test_views_that_a_game_does_not_offer_are_refused(name: str) -> None:
    with pytest.raises(GameError, match=f"offers no {name}: choose from observation tensors"):
        make_view(load_game("catch"), name)

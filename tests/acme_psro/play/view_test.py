"""Tests of acme_psro.play.view: nobody sees more than it may, and actions are listed with their numbers."""

import numpy as np
import pyspiel
import pytest

from acme_psro.games.graph import INFORMATION_STATES
from acme_psro.games.loading import load_game
from acme_psro.games.views import OBSERVATION_TENSORS, STATE_TENSORS
from acme_psro.play import view


def after(game: str, *actions: int) -> pyspiel.State:
    state = load_game(game).new_initial_state()
    for action in actions:
        state.apply_action(action)
    return state


def seen(game: str, player: int, *actions: int, seen_by: str = INFORMATION_STATES) -> str:
    return view.make_view(load_game(game), seen_by)(after(game, *actions), player)


def test_a_board_is_shown_as_it_is() -> None:
    assert seen("tic_tac_toe", 0, 4, 0) == "o..\n.x.\n..."


def test_cards_of_others_are_not_shown() -> None:
    for other in (0, 1):
        assert seen("kuhn_poker", 0, 2, other) == "2"
    assert seen("kuhn_poker", 1, 2, 0, 1) == "0b"


@pytest.mark.parametrize(
    "game",
    [
        "kuhn_poker",
        "leduc_poker",
        "liars_dice(dice_sides=2)",
        "matrix_rps",
        "coordinated_mp",
        "tiny_hanabi",
        "goofspiel(imp_info=True,num_cards=3,points_order=descending)",
        "oshi_zumo(coins=3,size=1)",
        "phantom_ttt",
        "dark_hex(board_size=2)",
        "repeated_game(stage_game=matrix_pd(),num_repetitions=2)",
    ],
)
def test_states_of_one_information_state_look_the_same(game: str) -> None:
    """Random plays, whose decisions are told apart by the player's information only."""
    loaded, rng = load_game(game), np.random.default_rng(0)
    game_type = loaded.get_type()
    describe = view.make_view(loaded, INFORMATION_STATES)
    looks: dict[tuple[int, str], set[str]] = {}
    for _ in range(300):
        state = loaded.new_initial_state()
        while not state.is_terminal():
            player = state.current_player()
            if player >= 0:
                own = (
                    state.information_state_string(player)
                    if game_type.provides_information_state_string
                    else state.observation_string(player)
                )
                looks.setdefault((player, own), set()).add(describe(state, player))
            state.apply_action(int(rng.choice(state.legal_actions())))
    assert all(len(texts) == 1 for texts in looks.values())
    assert len(looks) > 1


def test_policies_on_graphs_see_observations_and_so_does_the_person() -> None:
    # The number of moves, and the moves made, are in the information state alone.
    assert seen("dark_hex(board_size=2)", 0, 0, 3) == "x.\n..\n2\n0,0 "
    assert seen("dark_hex(board_size=2)", 0, 0, 3, seen_by=OBSERVATION_TENSORS) == "x.\n.."
    assert seen("dark_hex(board_size=2)", 0, 0, 3, seen_by=STATE_TENSORS) == "x.\n..\n2\n0,0 "
    # There is no observation.
    assert seen("liars_dice(dice_sides=2)", 0, 1, 0, seen_by=OBSERVATION_TENSORS) == "2"


def test_a_picture_is_added_to_moves_and_the_mover_of_the_turn_based_form_is_not() -> None:
    game = "oshi_zumo(coins=4,size=1)"
    assert seen(game, 0, 1, 2) == "1, 2\nCoins: 3 2, Field: #W..#"
    # What was chosen at the same time is not shown.
    assert seen(game, 1, 1) == seen(game, 1, 4) == "Coins: 4 4, Field: #.W.#"
    assert seen("leduc_poker", 0, 1, 5).startswith("[Observer: 0][Private: 1]")
    assert "\n" not in seen("leduc_poker", 0, 1, 5)


def test_actions_have_openspiels_numbers_and_names() -> None:
    state = after("leduc_poker", 0, 1, 2)
    assert view.name_actions(state, 1) == {0: "Fold", 1: "Call", 2: "Raise"}
    assert view.show_actions(view.name_actions(state, 1), 80) == ["  0 Fold    1 Call    2 Raise"]


def test_columns_fill_the_width_and_never_less_than_one() -> None:
    names = {action: f"move {action}" for action in range(8, 13)}
    assert view.show_actions(names, 30) == [
        "   8 move 8     9 move 9",
        "  10 move 10   11 move 11",
        "  12 move 12",
    ]
    assert view.show_actions({3: "x" * 50}, 20) == [f"  3 {'x' * 50}"]


def test_texts_stand_behind_their_label_or_below_it() -> None:
    assert view.show_text("You see:", "2pb") == ["You see: 2pb"]
    assert view.show_text("You see:", "") == ["You see: (nothing yet)"]
    assert view.show_text("You see:", "x. \n..\n") == ["You see:", "  x.", "  .."]

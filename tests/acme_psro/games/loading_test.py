"""Tests of loading games by OpenSpiel's strings, and of the one-line errors for other strings."""

from typing import Any

import pyspiel
import pytest

from acme_psro.games.loading import GameError, load_game


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("kuhn_pocker", "kuhn_poker"),
        ("leduc_pokr(players=2)", "leduc_poker"),
        ("Tic_Tac_Toe", "tic_tac_toe"),
        ("dice", "liars_dice"),
    ],
)
def test_unknown_game_names_near_matches(wrong: str, meant: str, refusal: Any) -> None:
    message = refusal(wrong)
    assert repr(wrong.split("(")[0]) in message
    assert meant in message


@pytest.mark.parametrize("wrong", ["", "(", "xyzzyplugh", " "])
def test_unknown_game_without_near_matches(wrong: str, refusal: Any) -> None:
    assert "unknown game" in refusal(wrong)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("kuhn_poker(", "bracket"),
        ("kuhn_poker(players=x)", "players"),
        ("kuhn_poker(players=0)", "players"),
        ("kuhn_poker(players=99)", "players"),
        ("kuhn_poker(player=3)", "player"),
        ("liars_dice(dice_sides=0)", "dice_sides"),
        ("leduc_poker(players=2.5)", "players"),
        ("matrix_rps(rows=3)", "no parameters"),
        ("repeated_game(stage_game=matrix_pd())", "num_repetitions"),
        ("efg_game(filename=/no/such/file.efg)", "efg_game"),
        ("efg_game", "filename"),
        ("nfg_game", "nfg_game"),
        ("nfg_game(filename=/no/such/file.nfg)", "nfg_game"),
        ("goofspiel(num_cards=0)", "goofspiel"),
    ],
)
def test_bad_parameters_are_refused_quietly(
    wrong: str, says: str, capfd: pytest.CaptureFixture[str], refusal: Any
) -> None:
    assert says in refusal(wrong)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("mfg_crowd_modelling", "mean-field"),
        ("tarok", "explicit chance"),
        ("bridge_uncontested_bidding", "explicit chance"),
    ],
)
def test_games_that_are_no_finite_tree_are_refused(wrong: str, says: str, refusal: Any) -> None:
    message = refusal(wrong)
    assert wrong in message
    assert says in message


# Cribbage and euchre in OpenSpiel 1.6, and no game in 2.0.
_UNDESCRIBED = [
    game.short_name
    for game in pyspiel.registered_games()
    if not (game.provides_information_state_string or game.provides_observation_string)
]


@pytest.mark.parametrize("name", _UNDESCRIBED)
def test_games_that_describe_nothing_are_refused(name: str, refusal: Any) -> None:
    assert "neither information states nor observations" in refusal(name)


@pytest.mark.parametrize("name", pyspiel.registered_names())
def test_every_registered_name_loads_or_is_refused_in_one_line(name: str) -> None:
    try:
        game = load_game(name)
    except GameError as error:
        assert name in str(error)
        assert "\n" not in str(error)
    else:
        assert game.get_type().dynamics == pyspiel.GameType.Dynamics.SEQUENTIAL

"""Tests of loading games by OpenSpiel's strings, and of the one-line errors for other strings."""

import re
import resource
import subprocess
import sys
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
        ("KUHN_POKER", "kuhn_poker"),
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
        ("kuhn_poker(players=11)", "2 to 10"),
        ("kuhn_poker(players=99999999999)", "2 to 10"),
        ("pig(players=0)", "2 to 10"),
        ("nfg_game(filename=/no/such/file.nfg)", "does not exist"),
        ("efg_game(filename=/)", "is a directory"),
        ("efg_game(filename=/dev/null)", "is no file"),
        ("misere(game=tic_tac_toe(foo=1))", "Unknown parameter 'foo': choose"),
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


# C++ of OpenSpiel: names of variables, of constants and of types, operators, positions in files.
_CODE = re.compile(r"::|->|CHECK|[<>!=]=|\w_\b|\bk[A-Z]|\w\(\) |\.cc|\.h:")


@pytest.mark.parametrize(
    "wrong",
    [
        "universal_poker(numRanks=0)",
        "universal_poker(numHoleCards=99)",
        "universal_poker(stack=0 0)",
        "y(board_size=-1)",
        "start_at(game=kuhn_poker(),history=9;9)",
        "goofspiel(num_cards=-3)",
        "goofspiel(num_cards=3,num_turns=9)",
        "goofspiel(num_cards=3,players=0)",
        "go(board_size=1)",
        "go(board_size=99)",
        "phantom_go(board_size=1)",
        "leduc_poker(starting_player=7)",
        "blotto(fields=0)",
        "breakthrough(rows=1)",
        "clobber(rows=0)",
        "clobber(rows=1,columns=1)",
        "dots_and_boxes(num_rows=0)",
        "quoridor(players=9)",
        "spades(num_tricks=0)",
        "cached_tree(game=matrix_pd())",
        "liars_dice(numdice=-1)",
        "mnk(m=-1)",
        "repeated_game(num_repetitions=-1,stage_game=matrix_pd())",
        "nim(pile_sizes=-1;2)",
        "pig(diceoutcomes=0)",
        "hex(board_size=0)",
        "hex(board_size=1)",
        "dark_hex(board_size=1)",
        "sheriff(max_bribe=-1)",
        "blotto(coins=200,fields=8)",
        "normal_form_extensive_game(game=leduc_poker())",
        "python_kuhn_poker(players=3)",
        # Of other kinds of crashes, words of C++, plays without an end, and moves by the hundred thousand.
        "universal_poker(stack=)",
        "universal_poker(blind=1000000 1)",
        "havannah(board_size=0)",
        "oshi_zumo(size=-1)",
        "deep_sea(size=-1)",
        "hanabi(ranks=99)",
        "breakthrough(rows=99)",
        "pathfinding(grid=zzz)",
        "laser_tag(horizon=-1)",
        "goofspiel(num_cards=99999)",
        "nim(pile_sizes=99999999;1)",
    ],
)
def test_what_crashes_openspiel_or_never_ends_is_one_line(
    wrong: str, capfd: pytest.CaptureFixture[str], refusal: Any
) -> None:
    began = resource_seconds()
    message = refusal(wrong)
    assert wrong.split("(")[0] in message
    assert not _CODE.search(message.replace(wrong, "")), message
    assert capfd.readouterr() == ("", "")
    assert resource_seconds() - began < 4.0


def resource_seconds() -> float:
    """Returns the processor time of this process and its children, which other processes do not disturb."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def test_spaces_around_a_game_do_not_matter() -> None:
    assert str(load_game(" kuhn_poker ")) == "kuhn_poker()"


def test_a_python_game_inside_another_game_is_known() -> None:
    game = "misere(game=python_kuhn_poker())"
    program = f"from acme_psro.games.loading import load_game; print(load_game('{game}'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == game

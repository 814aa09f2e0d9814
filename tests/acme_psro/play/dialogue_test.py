"""Tests of acme_psro.play.dialogue: each line that a person may type has its answer."""

import pytest

from acme_psro.games.loading import load_game
from acme_psro.play import dialogue
from acme_psro.play.dialogue import Dialogue, Reply, answer, find_actions, introduce
from acme_psro.play.opponents import Opponents, Values, fixed
from acme_psro.play.session import Setting
from acme_psro.play.view import make_view

NAMES = {0: "Pass", 1: "Bet", 5: "7", 12: "Bluff", 13: "bluff", 20: "50 - Bar/23"}


def make_dialogue(game: str, player: int = 0, probabilities: dict[int, float] | None = None) -> Dialogue:
    """Returns a dialogue with others who take the last legal action, or have the given probabilities."""
    loaded = load_game(game)
    draw = fixed(lambda state, mover: probabilities or {state.legal_actions()[-1]: 1.0}, loaded.num_players())
    opponents = Opponents(loaded, game, "their last actions", draw, lambda: Values([0.5, -0.5]))
    return Dialogue(Setting(opponents, player, seed=0), make_view(loaded, opponents.seen_by))


def play(spoken: Dialogue, *lines: str) -> list[Reply]:
    """Returns the introduction and the answers."""
    replies = [introduce(spoken)]
    for line in lines:
        replies.append(answer(spoken, replies[-1].session, line))
    return replies


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0", [0]),
        ("1", [1]),
        ("001", [1]),
        ("12", [12]),
        ("Pass", [0]),
        ("pass", [0]),
        ("p", [0]),
        ("be", [1]),
        # Names whose letters alone differ.
        ("Bluff", [12]),
        ("bluff", [13]),
        ("BLUFF", [12, 13]),
        ("b", [1, 12, 13]),
        # A number that is no action, but a name.
        ("7", [5]),
        # A number that begins a name.
        ("50", []),
        ("50 - bar", [20]),
        ("2", []),
        ("-1", []),
        ("9" * 5000, []),
        ("\u0661", []),
        ("fold", []),
    ],
)
def test_moves_are_found_by_number_name_or_beginning(text: str, meant: list[int]) -> None:
    assert find_actions(NAMES, text) == meant


def test_the_introduction_says_who_plays_and_shows_the_first_decision() -> None:
    assert play(make_dialogue("kuhn_poker"))[0].lines[:4] == [
        "kuhn_poker: you are player 0 of 2. (--seed=0 repeats this.)",
        "Player 1 plays their last actions.",
        "Type a move, or show, value, undo, new, help or quit.",
        "",
    ]
    *_, game, seen, actions = play(make_dialogue("kuhn_poker"))[0].lines
    assert game == "Game 1"
    assert seen.startswith("You see: ")
    assert actions == "  0 Pass   1 Bet"
    assert "The others play their last actions." in play(make_dialogue("kuhn_poker(players=3)"))[0].lines
    assert len([line for line in play(make_dialogue("catch"))[0].lines if "play" in line]) == 1


def test_a_game_is_played_by_number_and_by_name() -> None:
    by_number, by_name = (play(make_dialogue("kuhn_poker"), line)[1] for line in ("0", " PASS "))
    assert by_number.lines == by_name.lines
    # The other one bets.
    assert by_number.lines[0].endswith("pb")
    assert by_number.lines[-1] == "  0 Pass   1 Bet"
    end = play(make_dialogue("kuhn_poker"), "pass", "pass")[-1]
    assert end.lines[-2] == "The game is over. Your return: -1; player 1: +1"
    assert not end.is_refusal and not end.is_last


def test_in_games_without_secrets_moves_of_the_others_are_told() -> None:
    reply = play(make_dialogue("tic_tac_toe"), "4")[1]
    assert reply.lines[:5] == ["Player 1: o(2,2)", "You see:", "  ...", "  .x.", "  ..o"]
    taken_back = play(make_dialogue("tic_tac_toe"), "4", "0", "undo")[-1]
    # What is taken back has not just happened.
    assert taken_back.lines[0] == "Your last move is taken back."
    assert taken_back.lines[1:5] == ["You see:", "  ...", "  .x.", "  ..o"]


def test_moves_of_others_are_not_told_if_they_may_be_secret() -> None:
    reply = play(make_dialogue("phantom_ttt"), "4")[1]
    assert reply.lines[:5] == ["You see:", "  ...", "  .x.", "  ...", "  0,4"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2", "'2' is not a move here: choose 0 (Pass), 1 (Bet), or type help."),
        ("call", "'call' is not a move here: choose 0 (Pass), 1 (Bet), or type help."),
        ("0 1", "'0 1' is not a move here: choose 0 (Pass), 1 (Bet), or type help."),
        ("\x00", r"'\x00' is not a move here: choose 0 (Pass), 1 (Bet), or type help."),
        ("undo", "you have made no move in this game that could be taken back."),
    ],
)
def test_a_bad_move_is_answered_in_one_line_and_changes_nothing(line: str, reason: str) -> None:
    first, reply = play(make_dialogue("kuhn_poker"), line)
    assert reply == Reply(first.session, [reason], is_refusal=True)


def test_refusals_of_long_lines_and_many_moves_stay_short() -> None:
    (reason,) = play(make_dialogue("tic_tac_toe"), "x" * 1000)[1].lines
    assert (
        reason == f"'{'x' * 60}..' is not a move here: choose one of the 9 moves listed above, or type help."
    )
    (reason,) = play(make_dialogue("leduc_poker"), "c", "undo", "")[1].lines[-1:]
    assert "Raise" in reason
    (reason,) = play(make_dialogue("tic_tac_toe"), "x(0")[1].lines
    assert reason == "'x(0' fits several moves: choose 0 (x(0,0)), 1 (x(0,1)), 2 (x(0,2)), or type help."


def test_after_the_end_moves_are_refused_and_undo_leads_back() -> None:
    *_, end, refused, undone, again = play(make_dialogue("kuhn_poker"), "1", "0", "undo", "1")
    assert end.lines[-1] == "Type new, undo, show or quit."
    assert refused.is_refusal
    assert refused.lines == ["the game is over, and '0' is no command: type new, undo, help or quit."]
    assert undone.session.number == 1 and not undone.session.state.is_terminal()
    assert again.lines == end.lines


def test_an_empty_line_repeats_the_state() -> None:
    _, moved, repeated = play(make_dialogue("kuhn_poker"), "0", "  ")
    assert repeated == moved


@pytest.mark.parametrize("word", ["?", "show", "SHOW"])
def test_show_reveals_the_choice_of_the_other_on_request_only(word: str) -> None:
    spoken = make_dialogue("kuhn_poker", 0, {0: 0.25, 1: 0.75})
    _, moved, shown = play(spoken, "0", word)
    assert not any("0.75" in line for line in moved.lines)
    assert shown.lines[0] == "Player 1 at its last decision:"
    assert {line.split()[1] for line in shown.lines[1:]} == {"0.250", "0.750"}
    assert shown.session == moved.session


def test_value_new_help_and_quit() -> None:
    spoken = make_dialogue("kuhn_poker", player=1)
    first, value, new, helped, end = play(spoken, "value", "new", "help", "quit")
    assert value.lines[1:] == ["  player 0: +0.5", "  you: -0.5"]
    assert value.session == first.session
    assert new.lines[:2] == ["", "Game 2"] and new.session.number == 2
    for word in ("show", "value", "undo", "new", "quit"):
        assert any(line.startswith(word) for line in helped.lines)
    assert end.is_last and end.lines == []
    assert play(spoken, "exit")[-1].is_last
    assert all(len(line) <= 100 for line in dialogue.HELP)

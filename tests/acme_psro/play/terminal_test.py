"""Tests of acme_psro.play.terminal: commands from a pipe, ends of input, no colours outside a terminal."""

import io
import sys
from collections.abc import Callable

import pytest

from acme_psro.games.loading import load_game
from acme_psro.play import terminal
from acme_psro.play.opponents import Opponents, fixed


def opponents_that_bet() -> Opponents:
    game = load_game("kuhn_poker")
    draw = fixed(lambda state, player: {0: 0.0, 1: 1.0}, 2)
    return Opponents(game, "kuhn_poker", "as if they held the king", draw, lambda: None)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """A function that plays with a text as standard input, and returns what is printed."""

    def play(text: str, player: int = 0) -> str:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        terminal.play(opponents_that_bet(), player, seed=0)
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out

    return play


def test_a_transcript_of_a_pipe_shows_what_was_typed(typed: Callable[[str], str]) -> None:
    lines = typed("0\nfold\n0\nnew\nquit\n").splitlines()
    prompts = [line for line in lines if line.startswith(">")]
    assert prompts == ["> 0", "> fold", "> 0", "> new", "> quit"]
    assert lines[lines.index("> fold") + 1].startswith("'fold' is not a move here: choose 0 (Pass), 1 (Bet)")
    assert lines[-1] == "1 game: total return -1."
    assert "\033" not in "".join(lines)


@pytest.mark.parametrize("text", ["", "0\n", "0\n0", "0\n0\n"])
def test_the_end_of_the_input_ends_politely(typed: Callable[[str], str], text: str) -> None:
    *_, prompt, tally = typed(text).splitlines()
    assert prompt == "> "
    assert tally == ("1 game: total return -1." if text.count("0") == 2 else "No game was finished.")


def test_equal_seeds_and_lines_give_equal_transcripts(typed: Callable[[str], str]) -> None:
    lines = "1\nnew\n0\n1\n?\nundo\nvalue\nquit\n"
    assert typed(lines) == typed(lines)


def test_a_game_that_is_taken_back_at_the_end_does_not_count(typed: Callable[[str], str]) -> None:
    assert typed("0\n0\nundo\n").endswith("No game was finished.\n")
    assert typed("0\n0\nundo\n0\n").endswith("1 game: total return -1.\n")


@pytest.mark.parametrize("during", ["reading", "answering"])
def test_ctrl_c_ends_politely_at_any_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], during: str
) -> None:
    class Interrupted(io.StringIO):
        def readline(self, *arguments: int) -> str:  # type: ignore[override]
            if during == "reading":
                raise KeyboardInterrupt
            return "0\n"

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Interrupted())
    monkeypatch.setattr(terminal, "answer", interrupt)
    terminal.play(opponents_that_bet(), 0, seed=0)
    assert capsys.readouterr().out.endswith("\nNo game was finished.\n")


def test_bytes_that_are_no_text_are_a_bad_move(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n0\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stream)
    terminal.play(opponents_that_bet(), 0, seed=0)
    assert r"'\\xff\\xfe' is not a move here" in capsys.readouterr().out


def test_a_closed_standard_input_is_an_empty_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    terminal.play(opponents_that_bet(), 0, seed=0)
    assert capsys.readouterr().out.endswith("No game was finished.\n")

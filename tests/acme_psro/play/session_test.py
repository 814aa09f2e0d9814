"""Tests of acme_psro.play.session: moves, taking back, chance and others by the seed, and the tally."""

import pathlib
from typing import Any

import numpy as np
import pytest

from acme_psro.games.loading import load_game
from acme_psro.play import reading, session
from acme_psro.play.opponents import Opponents, fixed
from acme_psro.play.session import Session, Setting
from tests.acme_psro.play.runs import PRODUCT, write_tree_run


def uniformly(state: Any, player: int) -> dict[int, float]:
    """Plays all legal actions with the same probability."""
    legal = state.legal_actions(player)
    return dict.fromkeys(legal, 1 / len(legal))


def against_uniform(game: str) -> Opponents:
    """Returns opponents that play uniformly."""
    loaded = load_game(game)
    return Opponents(loaded, game, "uniformly", fixed(uniformly, loaded.num_players()), lambda: None)


def histories(now: Session) -> list[list[int]]:
    return [position.state.history() for position in now.positions]


def play_first(setting: Setting, games: int) -> list[list[int]]:
    """Returns the histories of games in which the person takes the first legal action."""
    now, played = session.begin(setting), []
    for _ in range(games):
        while not now.state.is_terminal():
            now = session.act(setting, now, now.state.legal_actions()[0])
        played.append(now.state.history())
        now = session.new_game(setting, now)
    return played


def test_chance_and_the_others_move_up_to_the_persons_decision() -> None:
    setting = Setting(against_uniform("kuhn_poker"), 1, seed=0)
    now = session.begin(setting)
    assert now.state.current_player() == 1
    assert [move.player for move in now.moves] == [-1, -1, 0]
    assert [move.action for move in now.moves] == now.state.history()
    assert now.moves[2].probabilities == {0: 0.5, 1: 0.5}
    assert now.moves[2].before.history() == now.state.history()[:2]


def test_equal_seeds_give_equal_games_and_others_differ() -> None:
    opponents = against_uniform("leduc_poker")
    first, again, other = (play_first(Setting(opponents, 0, seed), games=10) for seed in (4, 4, 5))
    assert first == again != other
    assert len({tuple(history) for history in first}) > 3


def test_a_move_that_is_taken_back_and_made_again_has_the_same_consequences() -> None:
    setting = Setting(against_uniform("leduc_poker"), 0, seed=8)
    before = session.begin(setting)
    after = session.act(setting, before, 1)
    taken_back = session.undo(after)
    assert taken_back == before
    assert histories(session.act(setting, before, 1)) == histories(after)
    # Another move meets the same random numbers.
    other = session.act(setting, before, 2)
    assert histories(session.act(setting, before, 2)) == histories(other)
    assert session.undo(before) is None


def test_every_own_move_can_be_taken_back_one_by_one() -> None:
    setting = Setting(against_uniform("tic_tac_toe"), 0, seed=0)
    now = session.begin(setting)
    passed = [now]
    while not now.state.is_terminal():
        now = session.act(setting, now, now.state.legal_actions()[0])
        passed.append(now)
    for before in reversed(passed[:-1]):
        taken_back = session.undo(now)
        assert taken_back is not None
        now = taken_back
        assert histories(now) == histories(before)
    assert session.undo(now) is None


def test_finished_games_count_once_and_unfinished_ones_never() -> None:
    setting = Setting(against_uniform("matrix_rps"), 0, seed=3)
    now = session.begin(setting)
    assert session.all_results(setting, now) == ()
    ended = session.act(setting, now, 0)
    assert session.all_results(setting, ended) == (ended.state.returns()[0],)
    taken_back = session.undo(ended)
    assert taken_back is not None
    assert session.all_results(setting, taken_back) == ()
    # An unfinished game is dropped.
    assert session.new_game(setting, taken_back).results == ()
    following = session.new_game(setting, session.act(setting, taken_back, 1))
    assert (following.number, len(following.results)) == (2, 1)
    assert session.undo(following) is None


def test_moves_are_drawn_by_their_probabilities() -> None:
    """Cards of chance, and the first action of a player who bets with a probability of 0.3."""
    game = load_game("kuhn_poker")
    draw = fixed(lambda state, player: {0: 0.7, 1: 0.3}, 2)
    setting = Setting(Opponents(game, "kuhn_poker", "", draw, lambda: None), 1, seed=6)
    now, seen = session.begin(setting), []
    for _ in range(3000):
        seen.append(now.state.history())
        now = session.new_game(setting, now)
    cards, others, bets = np.array(seen).T
    for card in range(3):
        assert np.mean(cards == card) == pytest.approx(1 / 3, abs=0.035)
        assert np.mean(others == card) == pytest.approx(1 / 3, abs=0.035)
    assert np.mean(bets) == pytest.approx(0.3, abs=0.035)
    # The two cards and the bet are independent.
    assert abs(np.corrcoef(cards, bets)[0, 1]) < 0.07


def test_probabilities_that_are_none_are_an_error() -> None:
    game = load_game("kuhn_poker")
    draw = fixed(lambda state, player: {0: 0.0, 1: 0.4}, 2)
    setting = Setting(Opponents(game, "kuhn_poker", "", draw, lambda: None), 1, seed=1)
    with pytest.raises(ValueError, match=r"probabilities of a move add up to 0\.4, not to 1"):
        for number in range(1, 20):
            session.new_game(setting, session.begin(setting)._replace(number=number))


def test_simultaneous_moves_are_made_one_after_the_other_unseen(tmp_path: pathlib.Path) -> None:
    write_tree_run(tmp_path, "matrix_rps", PRODUCT)
    setting = Setting(reading.read(tmp_path, 1, pytest.fail), 1, seed=0)
    now = session.begin(setting)
    assert [move.player for move in now.moves] == [0]
    ended = session.act(setting, now, 0)
    assert ended.state.is_terminal()
    assert ended.positions[-1].moves == ()

"""Tests of games.sharing: information states that share an observation."""

import time

import numpy as np
import pytest

from acme_psro.games import sharing
from acme_psro.games.compile import compile_game
from acme_psro.games.loading import GameError, load_game


def _counts(line: str | None) -> tuple[int, int]:
    """Returns the two numbers of a line: of observations, and of information states."""
    assert line is not None
    words = line.replace(",", "").split()
    observations, states = [int(word) for word in words if word.isdigit() and word != "0"][:2]
    return observations, states


@pytest.mark.parametrize("game", ["kuhn_poker", "kuhn_poker(players=3)", "liars_dice(dice_sides=2)"])
def test_games_whose_states_all_look_different_have_no_line(game: str) -> None:
    assert sharing.describe_shared(compile_game(game, cache=False)) is None
    assert sharing.find_shared(game, 0) is None
    assert sharing.describe_shared_in_plays(load_game(game), 1) is None


@pytest.mark.parametrize(
    ("game", "observations", "states"),
    [("dark_hex(num_cols=2,num_rows=2)", 70, 134), ("oshi_zumo(coins=3,size=1,horizon=3)", 42, 180)],
)
def test_states_that_look_alike_are_counted(game: str, observations: int, states: int) -> None:
    tree = compile_game(game, cache=False)
    line = sharing.describe_shared(tree)
    assert _counts(line) == (observations, states) == (tree.num_observations, tree.num_infosets)
    # The players' own add up to all.
    own = [_counts(sharing.describe_shared(tree, player)) for player in range(tree.num_players)]
    assert tuple(np.sum(own, axis=0)) == (observations, states)
    assert line is not None and "\n" not in line and "networks can tell only" in line


def test_games_too_large_to_compile_are_played(monkeypatch: pytest.MonkeyPatch) -> None:
    game = "dark_hex(num_cols=2,num_rows=2)"
    monkeypatch.setattr(sharing, "_MAX_NODES", 100)
    line = sharing.find_shared(game, 0)
    assert line is not None and "random plays met" in line and "\n" not in line
    tree = compile_game(game, cache=False)
    most = len(tree.info_state[tree.infosets_of(0)])
    met, observations = [
        int(word) for word in line.replace(",", "").split() if word.isdigit() and word != "0"
    ]
    assert observations < met <= most


def test_long_games_are_played_for_a_moment_only() -> None:
    # One hundred plays of chess would take a minute.
    started = time.monotonic()
    sharing.describe_shared_in_plays(load_game("chess"), 0)
    assert time.monotonic() - started < 20.0


@pytest.mark.parametrize(
    ("game", "player", "says"),
    [("kuhn_poker", 2, "has no player 2"), ("no_such_game", 0, "unknown game")],
)
def test_bad_games_and_players_are_refused(game: str, player: int, says: str) -> None:
    with pytest.raises(GameError, match=says):
        sharing.find_shared(game, player)

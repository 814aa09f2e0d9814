"""Random plays find every difference between games, and between a game and its tree."""

import dataclasses
import time
from typing import Any

import numpy as np
import pytest

from acme_psro.games import cache
from acme_psro.games.compile import compile_game
from acme_psro.games.loading import GameError, load_game
from acme_psro.games.plays import estimate_nodes, fits_tree, random_plays, repeats
from acme_psro.games.tree import GameTree


def test_a_game_repeats_its_plays_and_its_tree_contains_them(case: Any) -> None:
    plays = random_plays(case.game)
    assert len(plays) >= 8
    assert all(play.returns is not None for play in plays)
    assert repeats(load_game(case.string), plays)
    assert fits_tree(case.tree, plays)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("kuhn_poker", "kuhn_poker(players=3)"),
        ("kuhn_poker", "misere(game=kuhn_poker())"),
        ("leduc_poker", "leduc_poker(suit_isomorphism=true)"),
        ("matrix_rps", "matrix_shapleys_game"),
        ("goofspiel(num_cards=3)", "goofspiel(num_cards=3,returns_type=point_difference)"),
    ],
)
def test_plays_of_another_game_are_not_repeated(one: str, other: str) -> None:
    assert not repeats(load_game(other), random_plays(load_game(one)))
    assert not fits_tree(compile_game(other), random_plays(load_game(one)))


def doubled(tree: GameTree) -> GameTree:
    return dataclasses.replace(tree, reward=2 * tree.reward)


def other_chance(tree: GameTree) -> GameTree:
    probability = tree.probability.copy()
    probability[1:3] = [0.5, 1 / 6]
    return dataclasses.replace(tree, probability=probability)


def renamed(tree: GameTree) -> GameTree:
    return dataclasses.replace(tree, keys=tree.keys[::-1])


@pytest.mark.parametrize("change", [doubled, other_chance, renamed])
@pytest.mark.games("kuhn")
def test_a_well_formed_file_of_another_game_is_not_used(
    case: Any, change: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_PSRO_CACHE", str(tmp_path))
    changed = change(case.tree)
    cache.write(changed)
    kept = cache.read(case.tree.game_string)
    assert kept is not None and kept.digest == changed.digest != case.tree.digest
    assert compile_game(case.string).digest == case.tree.digest


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_payoffs_that_depend_on_the_order_of_visits_are_refused(epsilon: float) -> None:
    with pytest.raises(GameError, match="plays differently when the same moves are repeated"):
        compile_game(f"add_noise(epsilon={epsilon},seed=1,game=kuhn_poker())")


def test_slow_moves_limit_the_number_of_plays() -> None:
    """In bridge a move may take a second, and thousands of moves would take minutes."""
    began = time.process_time()
    plays = random_plays(load_game("bridge"))
    assert plays
    assert time.process_time() - began < 10
    assert sum(len(play.moves) for play in plays) < 500


@pytest.mark.slow_games
def test_estimate_does_not_exceed_the_number_of_nodes(case: Any) -> None:
    estimates = [estimate_nodes(random_plays(case.game, seed)) for seed in range(10)]
    assert max(estimates) < case.nodes
    assert np.isfinite(estimates).all()


@pytest.mark.parametrize("game", ["spades", "hearts", "2048", "phantom_ttt", "dark_hex", "backgammon"])
def test_games_that_are_far_too_large_are_refused_before_they_are_enumerated(
    game: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acme_psro.games.walk.enumerate_game", None)
    with pytest.raises(GameError, match=r"more than 5,000,000 nodes \(at least .* by an estimate\)"):
        compile_game(game)

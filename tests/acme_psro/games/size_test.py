"""Sizes of games are estimated closely, and games that are far too large are found without enumeration."""

from typing import Any

import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.loading import GameError, load_game
from acme_psro.games.size import estimate_size, find_excess


def count_goofspiel(cards: int) -> int:
    """Counts the nodes from the draw of a prize on, if as many prizes and cards of both players are left."""
    # The last cards are played by themselves.
    return 1 if cards == 1 else 1 + cards * (1 + cards * (1 + cards * count_goofspiel(cards - 1)))


@pytest.mark.slow_games
@pytest.mark.parametrize("seed", range(3))
def test_estimates_are_within_a_factor_of_3(case: Any, seed: int) -> None:
    estimate = estimate_size(case.game, seed=seed)
    assert estimate.is_complete
    assert case.nodes / 3 < estimate.nodes < 3 * case.nodes


@pytest.mark.parametrize(
    ("game", "nodes"),
    [
        # The first ones were counted by enumeration.
        ("liars_dice", 294_883),
        ("goofspiel(num_cards=5,imp_info=True,points_order=descending)", 26_931),
        ("first_sealed_auction(max_value=10)", 7_096),
        ("goofspiel(num_cards=4,imp_info=True)", count_goofspiel(4)),
        ("goofspiel(num_cards=6,imp_info=True)", count_goofspiel(6)),
    ],
)
def test_sizes_of_larger_games(game: str, nodes: int) -> None:
    estimate = estimate_size(load_game(game))
    assert nodes / 1.5 < estimate.nodes < 1.5 * nodes


@pytest.mark.games("kuhn", "goofspiel", "auction", "rock_paper_scissors", "catch", "hanabi")
def test_games_that_are_nowhere_wide_are_counted(case: Any) -> None:
    if case.nodes <= 300:
        assert estimate_size(case.game).nodes == case.nodes


@pytest.mark.parametrize(
    "game",
    [
        "2048", "bridge", "chess", "connect_four", "dark_hex", "gin_rummy", "go", "hearts", "pig",
        "phantom_ttt", "spades", "first_sealed_auction(max_value=300)", "liars_dice(numdice=2)",
    ],
)  # fmt: skip
def test_large_games_are_found(game: str) -> None:
    excess = find_excess(load_game(game), 5_000_000)
    assert excess is not None and excess.nodes > 15_000_000


def test_games_are_not_refused_in_doubt(case: Any) -> None:
    assert find_excess(case.game, case.nodes) is None
    assert find_excess(case.game, case.nodes // 2) is None


@pytest.mark.games("leduc", "liars_dice", "kuhn_4p")
def test_games_ten_times_as_large_as_allowed_are_found(case: Any) -> None:
    excess = find_excess(case.game, case.nodes // 10)
    assert excess is not None
    assert excess.nodes < 2 * case.nodes


@pytest.mark.parametrize(
    ("game", "max_nodes", "told"),
    [
        ("chess", 5_000_000, r"at least \S+"),
        ("liars_dice(numdice=2)", 5_000_000, r"at least \de\+\d+"),
        ("leduc_poker", 1_000, r"about (9|10),\d00"),
    ],
)
def test_compilation_refuses_them_before_it_enumerates(
    game: str, max_nodes: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acme_psro.games.walk.enumerate_game", None)
    message = rf"more than {max_nodes:,} nodes \({told} by an estimate\): raise --max_nodes"
    with pytest.raises(GameError, match=message) as caught:
        compile_game(game, max_nodes, cache=False)
    assert "\n" not in str(caught.value)

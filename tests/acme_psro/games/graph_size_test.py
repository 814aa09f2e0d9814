"""Tests of lower bounds on numbers of states: true, and large enough to refuse what is far too large."""

from __future__ import annotations

from typing import Any

import pytest

from acme_psro.games.graph_size import bound_states
from acme_psro.games.loading import load_game


@pytest.mark.parametrize(
    ("game", "states"), [("kuhn_poker", 29), ("tic_tac_toe", 4_521), ("phantom_ttt", 285_585)]
)
def test_a_game_that_fits_is_not_refused(game: str, states: int) -> None:
    for seed in range(3):
        assert bound_states(load_game(game), str, states, seed) is None


@pytest.mark.parametrize("game", ["chess", "backgammon", "liars_dice(numdice=5)"])
def test_a_game_that_is_far_too_large_is_refused(game: str) -> None:
    bound = bound_states(load_game(game), str, 10_000)
    assert bound is not None
    assert 10_000 < bound < 100_000


def test_states_that_are_merged_count_once() -> None:
    """If all states look the same there is one."""
    assert bound_states(load_game("chess"), lambda state: state.is_terminal(), 1_000) is None


def test_a_bound_is_true_for_a_known_number_of_states() -> None:
    """Goofspiel's first bids and prizes have 13 * 13 * 13 combinations, which are equally likely."""
    met: list[float] = []

    def identify(state: Any) -> tuple[int, ...]:
        return tuple(state.history()[:3])

    for seed in range(20):
        bound = bound_states(load_game("goofspiel"), identify, 1_000, seed)
        met.append(bound or 0.0)
    assert max(met) < 1.5 * 13**3
    assert min(met) <= 13**3

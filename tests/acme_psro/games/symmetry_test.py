"""Symmetric games: counterparts, the exchange of policies, and the reasons why a game has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.games import symmetry, traverse
from acme_psro.games.tree import GameTree


@pytest.mark.games("rock_paper_scissors", "goofspiel", "prisoners_dilemma", "auction")
def test_exchanging_policies_exchanges_returns(case: Any) -> None:
    counterparts = symmetry.require_counterparts(case.tree)
    first, second = (case.tree.infosets_of(player) for player in range(2))
    assert sorted(counterparts[second]) == list(range(first.start, first.stop))
    drawn = np.random.default_rng(0).random((2, *case.tree.legal_actions.shape)) * case.tree.legal_actions
    ours, theirs = (drawn / drawn.sum(axis=2, keepdims=True))[:, first]
    returns = []
    for one, two in ((ours, theirs), (theirs, ours)):
        moved = symmetry.exchange(case.tree, counterparts, 0, two)
        np.testing.assert_array_equal(symmetry.exchange(case.tree, counterparts, 1, moved), two)
        plan = traverse.realisation_plan(case.tree, np.concatenate([one, moved]))
        returns.append(traverse.expected_returns(case.tree, plan))
    np.testing.assert_allclose(returns[0], returns[1][::-1], atol=1e-9)
    assert np.ptp(returns[0]) > 1e-3


@pytest.mark.parametrize(
    ("game", "reason"),
    [
        # The player who moves second sees what the first has done.
        ("kuhn_poker", "exchanging the players changes what they earn"),
        ("kuhn_poker(players=3)", "it has 3 players, not 2"),
        ("matrix_bos", "exchanging the players changes what they earn"),
        ("catch(rows=4,columns=3)", "it has 1 player, not 2"),
        ("sheriff(num_rounds=1)", "player 0 has 5 information states and player 1 has 4"),
    ],
)
def test_other_games_have_a_reason(game: str, reason: str, compiled: Callable[[str], GameTree]) -> None:
    tree = compiled(game)
    assert symmetry.find_counterparts(tree) is None
    with pytest.raises(ValueError, match=reason) as refusal:
        symmetry.require_counterparts(tree)
    assert str(refusal.value).startswith(tree.game_string) and "\n" not in str(refusal.value)


def test_the_number_of_players_is_enough_to_refuse() -> None:
    symmetry.check_players("any", 2)
    with pytest.raises(ValueError, match=r"^some_game is not symmetric: it has 4 players, not 2; leave out"):
        symmetry.check_players("some_game", 4)

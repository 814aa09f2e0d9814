"""The certificate is NashConv among allowed actions."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.restricted_games.certificate import best_response_value, restricted_nash_conv

Tables = Callable[[GameTree, int], np.ndarray]


def pure_tables(tree: GameTree, table: np.ndarray, allowed: np.ndarray, player: int) -> Iterator[np.ndarray]:
    """Yields the table with each of the player's pure policies among allowed actions."""
    rows = range(*tree.infosets_of(player).indices(tree.num_infosets))
    for actions in itertools.product(*(np.flatnonzero(allowed[row]) for row in rows)):
        result = table.copy()
        result[list(rows)] = 0.0
        result[list(rows), list(actions)] = 1.0
        yield result


def returns_of(tree: GameTree, table: np.ndarray) -> np.ndarray:
    return traverse.expected_returns(tree, traverse.realisation_plan(tree, table))


def test_whole_game_has_the_nash_conv_of_the_game(case: Any, random_table: Tables) -> None:
    tree = case.tree
    table = random_table(tree, 0)
    expected = traverse.nash_conv(tree, table)
    assert restricted_nash_conv(tree, tree.legal_actions, table) == pytest.approx(expected, abs=1e-12)


@pytest.mark.games("kuhn", "rock_paper_scissors", "pennies_3p", "hanabi", "coordinated_pennies")
@pytest.mark.parametrize("seed", range(4))
def test_best_allowed_responses_by_brute_force(
    case: Any, seed: int, random_table: Tables, pure_table: Tables
) -> None:
    tree = case.tree
    allowed = (pure_table(tree, seed) + pure_table(tree, seed + 10)) > 0
    table = random_table(tree, seed) * allowed
    table /= table.sum(axis=1, keepdims=True)
    plan, own = traverse.realisation_plan(tree, table), returns_of(tree, table)
    gains = []
    for player in range(tree.num_players):
        best = max(returns_of(tree, pure)[player] for pure in pure_tables(tree, table, allowed, player))
        assert best_response_value(tree, allowed, plan, player) == pytest.approx(best, abs=1e-12)
        gains.append(best - own[player])
    assert restricted_nash_conv(tree, allowed, table) == pytest.approx(sum(gains), abs=1e-12)

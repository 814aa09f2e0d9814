"""Tests of the layout of merged games: observations by player, and what networks see."""

from __future__ import annotations

import numpy as np
import pytest

from acme_psro.games.graph import GameGraph
from acme_psro.games.graph_layout import lay_out_graph
from acme_psro.games.loading import load_game
from acme_psro.games.merging import merge_game
from acme_psro.games.views import OBSERVATION_STRINGS, OBSERVATION_TENSORS, View, make_view
from tests.acme_psro.games.graphs import graph_of


def laid_out(name: str, view: View, horizon: int = 20) -> GameGraph:
    game = load_game(name)
    merged = merge_game(name, game, view, horizon, 10_000)
    return lay_out_graph(name, game.num_players(), game.num_distinct_actions(), view, merged, horizon)


def test_observations_are_ordered_by_player() -> None:
    graph = graph_of("kuhn_poker(players=3)")
    owner = [int(key.partition("|")[0]) for key in graph.keys]
    assert owner == sorted(owner)
    for player in range(3):
        rows = graph.observations_of(player)
        assert owner[rows] == [player] * (rows.stop - rows.start)
    # The tensor of Kuhn poker begins with the player, one-hot.
    np.testing.assert_array_equal(graph.info_state[:, :3], np.eye(3)[owner])


def test_without_tensors_observations_are_numbered() -> None:
    view = make_view(load_game("coordinated_mp"), OBSERVATION_STRINGS)
    graph = laid_out("coordinated_mp", view)
    np.testing.assert_array_equal(graph.info_state[graph.observations_of(0)], [[1, 0]])
    np.testing.assert_array_equal(graph.info_state[graph.observations_of(1)], [[1, 0], [0, 1]])
    assert graph.seen_by == OBSERVATION_STRINGS


def test_the_horizon_counts_for_cyclic_graphs_only() -> None:
    view = make_view(load_game("kuhn_poker"), OBSERVATION_TENSORS)
    graph = laid_out("kuhn_poker", view._replace(remark="remarkable"), horizon=77)
    assert (graph.max_moves, graph.is_cyclic, graph.remark) == (5, False, "remarkable")
    name = "pathfinding(horizon=6)"
    cyclic = laid_out(name, make_view(load_game(name), OBSERVATION_TENSORS), horizon=6)
    assert (cyclic.max_moves, cyclic.is_cyclic) == (6, True)


@pytest.mark.parametrize("game", ["leduc_poker", "liars_dice(dice_sides=3)"])
def test_legal_actions_lie_in_the_order_of_slots(game: str) -> None:
    graph = graph_of(game)
    counts = graph.legal_actions.sum(axis=1)
    for row, count in enumerate(counts):
        np.testing.assert_array_equal(
            graph.action_of_slot[row, :count], np.flatnonzero(graph.legal_actions[row])
        )

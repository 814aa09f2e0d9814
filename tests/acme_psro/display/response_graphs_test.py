"""Pictures of response graphs: when there is one, what it shows, and that it is drawn the same way again."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from acme_psro.display import response_graphs
from acme_psro.evaluation import response_graph

CHICKEN = np.array([[[0.0, 7.0], [2.0, 6.0]], [[0.0, 2.0], [7.0, 6.0]]])


def test_the_figure_shows_profiles_and_counts_sinks() -> None:
    (figure,) = response_graphs.make_response_graphs(CHICKEN)
    svg = figure[figure.index("<svg") : figure.index("</svg>") + 6]
    texts = ["".join(text.itertext()).strip() for text in ElementTree.fromstring(svg).iter("text")]
    assert {"0 0", "0 1", "1 0", "1 1", "player 0", "player 1"} <= set(texts)
    assert "There are 2;" in figure
    assert "1 (50&nbsp;%), 1 (50&nbsp;%)" in figure
    assert response_graphs.make_response_graphs(CHICKEN) == [figure]


def test_three_players_stand_on_a_circle_and_two_on_a_grid() -> None:
    circle = response_graphs.places_of(response_graph.of_profiles(np.zeros((3, 2, 2, 2))))
    np.testing.assert_allclose(np.linalg.norm(circle, axis=1), np.linalg.norm(circle[0]))
    assert len(np.unique(circle.round(6), axis=0)) == 8
    grid = response_graphs.places_of(response_graph.of_profiles(CHICKEN))
    np.testing.assert_array_equal(grid, [[0, 0], [1, 0], [0, 1], [1, 1]])


def test_only_best_replies_are_drawn() -> None:
    payoffs = np.zeros((2, 3, 1))
    payoffs[0, :, 0] = [0.0, 1.0, 2.0]
    graph = response_graph.of_profiles(payoffs)
    shown = response_graphs.shown_edges(graph)
    assert sorted(zip(graph.sources[shown], graph.targets[shown], strict=True)) == [(0, 2), (1, 2)]


def test_a_large_symmetric_game_is_shown_by_its_policies() -> None:
    own = np.random.default_rng(0).standard_normal((8, 8))
    (figure,) = response_graphs.make_response_graphs(np.stack([own, own.T]))
    assert "when the two meet" in figure


@pytest.mark.parametrize(
    "payoffs",
    [
        np.stack([CHICKEN[0], -CHICKEN[0]]),
        np.full((2, 2, 2), np.nan),
        np.ones((2, 1, 1)),
        np.random.default_rng(0).standard_normal((2, 6, 7)),
    ],
    ids=["zero-sum", "unknown", "one profile", "too many"],
)
def test_no_figure(payoffs: np.ndarray) -> None:
    assert response_graphs.make_response_graphs(payoffs) == []

"""Tests of acme_psro.display.members."""

import math

import numpy as np
import pytest

from acme_psro.display import members
from acme_psro.neupl import history
from acme_psro.neupl.history import History
from acme_psro.neupl.values import Values


def rows(epochs: int, frozen: float = 0.0, drift: float = 0.1, gap: float = 0.2) -> list[dict[str, float]]:
    """Returns rows of metrics of populations of four members."""
    return [
        {
            "iteration": epoch,
            "effective_size": 1 + min(epoch, 3),
            "payoff_drift": drift if epoch else math.nan,
            "frozen_members": frozen if epoch else 0.0,
            "relative_gap_0": gap if epoch else math.nan,
            "relative_gap_1": gap if epoch else math.nan,
            "population_0": 4,
            "population_1": 4,
        }
        for epoch in range(epochs + 1)
    ]


def random_graph(seed: int, num: int = 4) -> np.ndarray:
    """Returns `[2, N, N]` whose rows end before the diagonal."""
    graph = np.tril(np.random.default_rng(seed).uniform(0.1, 1.0, (2, num, num)), -1)
    return graph / np.maximum(graph.sum(axis=2, keepdims=True), 1e-9)


def record(graphs: list[np.ndarray]) -> History:
    """Returns the history of epochs with these graphs."""
    num = graphs[0].shape[1]
    best = np.arange(2 * num, dtype=float).reshape(2, num)
    kept = history.start(num)
    for graph in graphs:
        kept = history.record(kept, graph, Values(0.5 * best, 0.0 * best, best))
    return kept


def test_graphs_of_both_players_in_the_first_the_last_and_some_epochs_between() -> None:
    figures = members.make_graphs(record([random_graph(seed) for seed in range(27)]))
    assert len(figures) == 2
    for player, figure in enumerate(figures):
        assert f"Interaction graph of player {player}" in figure
        assert f"drawn from player {1 - player}’s members" in figure
        for epoch in (1, 3, 9, 27):
            assert f">epoch {epoch}<" in figure
        assert figure.count("data:image/png") == 4 + 1


def test_players_with_the_same_graph_share_a_figure_and_epochs_with_the_same_one_a_panel() -> None:
    one = random_graph(0)[0]
    (figure,) = members.make_graphs(record([np.stack([one, one])] * 5))
    assert "Both players have the same graph" in figure
    assert ">all epochs<" in figure and figure.count("data:image/png") == 1 + 1


def test_the_effective_size_is_given_with_the_members_that_are_frozen_if_there_are_any() -> None:
    assert "At the end 4 of 4 differ" in members.make_sizes(rows(5))
    # The sink alone is always frozen.
    assert "frozen" not in members.make_sizes(rows(5, frozen=1.0))
    assert "3 members of each player, the sink included, are frozen" in members.make_sizes(
        rows(5, frozen=3.0)
    )


def test_drift_that_is_never_known_has_no_figure() -> None:
    assert members.make_drift(rows(3, drift=math.nan)) is None
    figure = members.make_drift(rows(3))
    assert figure is not None and "game units" in figure and ">epoch<" in figure


def test_gaps_are_those_after_the_last_epoch() -> None:
    figure = members.make_member_gaps(record([random_graph(0), random_graph(1)]))
    assert "After epoch 2." in figure
    assert figure.count(">50 %<") == 6


def test_mean_gaps_are_joined_over_epochs() -> None:
    figure = members.make_mean_gaps(rows(3))
    assert figure is not None and "Mean gap of the members" in figure and ">epoch<" in figure
    assert members.make_mean_gaps(rows(3, gap=math.nan)) is None


def test_the_gap_to_drawn_mixtures_is_joined_over_the_epochs_that_have_it() -> None:
    some = rows(4)
    assert members.make_simplex_gap(some) is None
    for row, gap in zip(some, (math.nan, 0.5, math.nan, math.nan, 0.25), strict=True):
        row["simplex_gap"] = gap
    figure = members.make_simplex_gap(some)
    assert figure is not None
    assert "At the end 25.0&nbsp;%." in figure and ">10 %<" in figure
    assert len(members.make_members(some, None)) == 4


@pytest.mark.parametrize("kept", [None, history.start(4)])
def test_without_graphs_there_are_the_figures_of_metrics(kept: History | None) -> None:
    headings = [figure.partition("</h3>")[0] for figure in members.make_members(rows(3), kept)]
    assert [text.removeprefix("<figure><h3>") for text in headings] == [
        "Effective size",
        "Payoff drift",
        "Mean gap of the members",
    ]


def test_sixty_four_members_make_no_megabytes() -> None:
    figures = members.make_members(rows(9), record([random_graph(seed, 64) for seed in range(9)]))
    assert len(figures) == 6
    assert sum(map(len, figures)) < 300_000


def test_gaps_of_members_are_left_out_if_best_responses_are_unknown() -> None:
    zeros, unknown = np.zeros((2, 4)), np.full((2, 4), math.nan)
    kept = history.record(history.start(4), random_graph(0), Values(zeros, zeros, unknown))
    figures = "".join(members.make_members(rows(1), kept))
    assert "Interaction graph of player 0" in figures and "Gap of each member" not in figures

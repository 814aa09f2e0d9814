"""Graph makers by hand, rows that agree, and graphs that are refused."""

import numpy as np
import pytest

from acme_psro.neupl.interaction_graph import (
    GRAPHS,
    check_graph,
    effective_size,
    first_of_same,
    get_graph,
    make_graph,
    merge_rows,
)

# Rock, paper and scissors against each other; and a sink that plays softmax(3, -1, -1), then exact responses:
# paper, scissors.
WINS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
SINK = np.exp([3.0, -1.0, -1.0]) / np.exp([3.0, -1.0, -1.0]).sum()
MEMBERS = np.array([SINK, [0, 1, 0], [0, 0, 1], [1, 0, 0]])


def payoffs_of(members: np.ndarray) -> np.ndarray:
    own = members @ WINS @ members.T
    return np.stack([own, -own])


def test_every_row_of_every_graph_is_a_distribution() -> None:
    payoffs = payoffs_of(MEMBERS)
    for name in GRAPHS:
        graph = make_graph(name, payoffs, 1e-3)
        assert graph.shape == (2, 4, 4)
        np.testing.assert_allclose(graph[:, 1:].sum(axis=2), 1.0, atol=1e-9)
        assert not graph[:, 0].any()


def test_graphs_by_hand() -> None:
    payoffs = payoffs_of(MEMBERS)
    third = 1 / 3
    by_hand = {
        "fictitious_play": [[0, 0, 0, 0], [1, 0, 0, 0], [0.5, 0.5, 0, 0], [third, third, third, 0]],
        "uniform": [[0, 0, 0, 0], *([[0.25] * 4] * 3)],
        "self_play": [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        "cycle": [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]],
    }
    for name, rows in by_hand.items():
        np.testing.assert_allclose(make_graph(name, payoffs, 0.0), [rows, rows], atol=1e-12)


def test_psro_nash_in_rock_paper_scissors_with_a_biased_sink() -> None:
    """Payoffs and rows by hand: paper beats the sink, scissors beat paper, and then all mix."""
    payoffs = payoffs_of(MEMBERS[:4])
    np.testing.assert_allclose(payoffs[0, 0, :3], [0, -0.94699, 0.94699], atol=1e-5)
    graph = make_graph("psro_nash", payoffs, 1e-3)
    np.testing.assert_allclose(graph[0, 1], [1, 0, 0, 0])
    np.testing.assert_allclose(graph[0, 2], [0, 1, 0, 0], atol=1e-4)
    np.testing.assert_allclose(graph[0, 3], [0.345544, 0.327228, 0.327228, 0], atol=1e-4)
    np.testing.assert_allclose(graph[0, 3] @ MEMBERS, [1 / 3] * 3, atol=1e-4)
    np.testing.assert_allclose(graph[0], graph[1], atol=1e-6)
    assert effective_size(graph) == 4


def test_psro_alpha_rank_in_rock_paper_scissors_with_a_biased_sink() -> None:
    """Paper beats the sink; then sink, paper and scissors beat each other in turn: only the order counts."""
    graph = make_graph("psro_alpha_rank", payoffs_of(MEMBERS), 0.0)
    third = 1 / 3
    rows = [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [third, third, third, 0]]
    np.testing.assert_allclose(graph, [rows, rows], atol=1e-5)


def test_row_of_psro_nash_is_the_equilibrium_of_the_members_before_it() -> None:
    """In a game that is not symmetric, a player's row mixes the other player's members."""
    rng = np.random.default_rng(0)
    own = rng.normal(size=(5, 5))
    graph = make_graph("psro_nash", np.stack([own, -own]), 0.0)
    for size in range(1, 5):
        block = own[:size, :size]
        first, second = graph[1, size, :size], graph[0, size, :size]
        value = first @ block @ second
        assert (block @ second).max() <= value + 1e-3
        assert (first @ block).min() >= value - 1e-3


def test_psro_nash_is_continuous_and_gives_equal_members_equal_weights() -> None:
    rng = np.random.default_rng(1)
    members = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]], float)
    payoffs = payoffs_of(members)
    row = make_graph("psro_nash", payoffs, 0.0)[0, 4]
    np.testing.assert_allclose(row, [1 / 6, 1 / 6, 1 / 3, 1 / 3, 0], atol=1e-3)
    noise = 1e-6 * rng.normal(size=payoffs[0].shape)
    moved = make_graph("psro_nash", payoffs + np.stack([noise, -noise]), 0.0)[0, 4]
    np.testing.assert_allclose(moved, row, atol=1e-3)


def test_rows_that_agree_are_one_member() -> None:
    graph = np.zeros((1, 5, 5))
    graph[0, 1:, 0] = 1.0
    graph[0, 3, :2] = [0.9996, 0.0004]
    graph[0, 4, :2] = [0.5, 0.5]
    assert list(first_of_same(graph[0], 1e-3)) == [0, 1, 1, 1, 4]
    merged = merge_rows(graph, 1e-3)
    assert np.array_equal(merged[0, 3], graph[0, 1])
    assert (effective_size(merged), effective_size(graph)) == (3, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({(0, 0, 1): 1.0}, "sink, member 0, never learns"),
        ({(0, 1, 0): 0.5}, "row 1 of player 0's interaction graph is no distribution"),
        ({(1, 2, 0): -0.5, (1, 2, 1): 1.5}, "row 2 of player 1's"),
        ({(0, 1, 0): np.nan}, "no distribution"),
        ({(0, 2, 0): 0.0, (0, 2, 1): 0.0, (0, 2, 2): 1.0}, "trains against itself only"),
    ],
)
def test_malformed_graphs_are_refused(change: dict[tuple[int, ...], float], message: str) -> None:
    graph = np.zeros((2, 3, 3))
    graph[:, 1, 0] = 1.0
    graph[:, 2, :2] = 0.5
    check_graph(graph)
    for place, value in change.items():
        graph[place] = value
    with pytest.raises(ValueError, match=message):
        check_graph(graph)


def test_shapes_and_names_that_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 members"):
        check_graph(np.zeros((2, 1, 1)))
    with pytest.raises(ValueError, match=r"--graph=ring is not known; use one of cycle, .*uniform"):
        get_graph("ring")

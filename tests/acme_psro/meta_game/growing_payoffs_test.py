"""The payoff tensor grows without losing a cell and without filling one twice."""

import itertools

import numpy as np
import pytest

from acme_psro.meta_game.payoffs import empty_payoffs, extend_payoffs, missing_boxes

GROWTH = [
    ((0, 0), (1, 1)),
    ((1, 1), (2, 2)),
    ((2, 3), (2, 3)),
    ((2, 3), (3, 3)),
    ((2, 3), (2, 5)),
    ((1, 4), (3, 5)),
    ((0, 2), (1, 2)),
    ((3,), (5,)),
    ((0, 0, 0), (1, 1, 1)),
    ((1, 2, 3), (2, 3, 4)),
    ((1, 2, 3), (1, 4, 3)),
    ((2, 2, 2), (2, 2, 5)),
    ((2, 1, 2, 1), (3, 1, 4, 2)),
]


@pytest.mark.parametrize(("known", "sizes"), GROWTH)
def test_missing_boxes_cover_the_new_cells_once(known: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    times = np.zeros(sizes, int)
    for box in missing_boxes(known, sizes):
        times[box] += 1
    expected = np.ones(sizes, int)
    if all(known):
        expected[tuple(slice(size) for size in known)] = 0
    np.testing.assert_array_equal(times, expected)


@pytest.mark.parametrize(("known", "sizes"), GROWTH)
def test_missing_yields_no_empty_box(known: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    for box in missing_boxes(known, sizes):
        assert np.zeros(sizes)[box].size > 0


@pytest.mark.parametrize("sizes", [(2, 3), (1, 2, 3)])
def test_nothing_is_missing_where_nothing_grew(sizes: tuple[int, ...]) -> None:
    assert list(missing_boxes(sizes, sizes)) == []


@pytest.mark.parametrize(("known", "sizes"), GROWTH)
def test_extend_keeps_known_cells(known: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    payoffs = np.random.default_rng(0).normal(size=(len(known), *known))
    before = payoffs.copy()
    grown = extend_payoffs(payoffs, sizes)
    assert grown.shape == (len(known), *sizes)
    for cell in itertools.product(*(range(size) for size in sizes)):
        if all(place < size for place, size in zip(cell, known, strict=True)):
            np.testing.assert_array_equal(grown[(slice(None), *cell)], payoffs[(slice(None), *cell)])
        else:
            assert np.isnan(grown[(slice(None), *cell)]).all()
    np.testing.assert_array_equal(payoffs, before)


@pytest.mark.parametrize("sizes", [(1, 3), (2, 2), (0, 0), (2,), (2, 3, 1), ()])
def test_extend_refuses_to_shrink_or_change_players(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        extend_payoffs(np.zeros((2, 2, 3)), sizes)


@pytest.mark.parametrize("players", [1, 2, 3])
def test_empty_has_an_axis_for_every_player(players: int) -> None:
    assert empty_payoffs(players).shape == (players,) + (0,) * players

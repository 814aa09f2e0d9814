"""Tests of the rules that one game and many games share: sampling of moves, and observations."""

from typing import Any

import numpy as np
import pyspiel
import pytest

from acme_psro.games import playing
from acme_psro.games.loading import GameError


class Edge:
    """A generator that draws the largest number below 1. A rounded sum of probabilities may be smaller."""

    def random(self, size: int | None = None) -> Any:
        edge = float(np.nextafter(1.0, 0.0))
        return edge if size is None else np.full(size, edge)


def test_a_draw_never_takes_what_has_no_probability() -> None:
    third = 1.0 / 3.0
    rounded = [(4, third), (5, third), (6, third - 1e-12), (7, 0.0)]
    assert playing.draw(Edge(), rounded) == 6  # type: ignore[arg-type]
    rows = np.array([[0.0, third, third, third - 1e-12, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]])
    assert playing.draw_each(Edge(), rows).tolist() == [3, 2]  # type: ignore[arg-type]


def test_one_draw_and_many_take_the_same_actions_from_the_same_numbers() -> None:
    rows = np.random.default_rng(0).dirichlet(np.full(5, 0.5), size=1000) * [1, 1, 0, 1, 1]
    rows /= rows.sum(axis=1, keepdims=True)
    many = playing.draw_each(np.random.default_rng(1), rows)
    rng = np.random.default_rng(1)
    assert many.tolist() == [playing.draw(rng, enumerate(row)) for row in rows.tolist()]
    assert set(many) == {0, 1, 3, 4}


@pytest.mark.parametrize(("probability", "total"), [(0.25, "0.5"), (np.nan, "nan")])
def test_probabilities_that_do_not_add_up_are_refused(probability: float, total: str) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=f"probabilities add up to {total}, not to 1"):
        playing.draw_each(rng, np.array([[0.5, 0.5], [probability, probability]]))
    with pytest.raises(ValueError, match=f"probabilities add up to {total}, not to 1"):
        for _ in range(50):
            playing.draw(rng, [(0, probability), (1, probability)])


def test_several_states_are_seen_as_each_by_itself() -> None:
    game = pyspiel.load_game("leduc_poker")
    states = []
    for cards in ([0, 1], [2, 3], [4, 5]):
        states.append(game.new_initial_state())
        for card in cards:
            states[-1].apply_action(card)
    seen = playing.make_observe(game)(states, 0)
    np.testing.assert_array_equal(seen.info_state, [state.information_state_tensor(0) for state in states])
    assert np.asarray(seen.legal_actions).tolist() == [[False, True, True]] * 3
    assert seen.context.shape == (3, 0)
    assert [leaf.dtype for leaf in seen] == [np.float32, bool, np.float32]


def test_games_without_tensors_are_refused() -> None:
    game = pyspiel.load_game("coordinated_mp")
    with pytest.raises(GameError, match="offers no tensors to observe"):
        playing.make_observe(game)

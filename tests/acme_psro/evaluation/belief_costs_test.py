"""Costs of a responder's moves, measured by its value if it saw everything."""

import numpy as np
import pytest

from acme_psro.evaluation.belief_costs import OTHER, OWN, SETTLED, make_belief_game
from tests.acme_psro.evaluation.made_up_graphs import guess_the_coin, random_graph, random_tables

ONE = np.ones(1)
WEIGHTS = np.array([0.5, 0.2, 0.3])
COIN = np.array([[1, 0], [1, 0], [0.8, 0.2], [0.3, 0.7]])


def test_costs_by_hand() -> None:
    game = make_belief_game(guess_the_coin(), 0, COIN[None], ONE, 10**6)
    # Who sees the coin is always right. Who does not is wrong on heads by its second guess, on tails by its
    # first. The move from the place before the root is free.
    assert game.full_value == pytest.approx(1.0)
    np.testing.assert_array_equal(game.own_cost[:, 0], [0, 1, 0, 1, 1, 0, 1, 0, 0])
    np.testing.assert_array_equal(game.own_successor, [-1] * 8 + [0])
    np.testing.assert_array_equal(game.about[:, 0], [OTHER] * 3 + [OWN] * 4 + [SETTLED, OWN])
    np.testing.assert_array_equal(game.about[3:7, 1], [0, 1, 0, 1])
    np.testing.assert_allclose(game.passed_probability[:, 0], [0.5, 0.5, 0.8, 0.2, 0.3, 0.7])
    np.testing.assert_array_equal(game.passed_successor, [1, 2, 3, 4, 5, 6])


def test_nothing_is_searched_if_no_move_matters() -> None:
    # Player 0 always guesses heads, and does not listen to player 1.
    game = make_belief_game(guess_the_coin(), 1, COIN[None], ONE, 10**6)
    assert game.full_value == pytest.approx(-0.5)
    assert not game.own_cost.any()
    assert game.own_successor[-1] == -1


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("player", [0, 1])
def test_some_move_of_each_place_is_free(player: int, cyclic: bool) -> None:
    for seed in range(5):
        graph = random_graph(seed, cyclic)
        tables = random_tables(graph.legal_actions, 3, seed)
        game = make_belief_game(graph, player, tables, WEIGHTS, 10**6)
        own = game.about[game.about[:, 0] == OWN]
        least = np.minimum.reduceat(game.own_cost, np.sort(own[:, 2]))
        np.testing.assert_array_equal(least, 0.0)
        assert game.own_cost.min() >= 0 and game.own_cost.max() > 0
        assert len(game.own_cost) == own[:, 3].sum()


@pytest.mark.parametrize("member", [0, 1, 2])
def test_members_do_not_mix(member: int) -> None:
    graph = random_graph(2)
    tables = random_tables(graph.legal_actions, 3, 0)
    game = make_belief_game(graph, 0, tables, WEIGHTS, 10**6)
    alone = make_belief_game(graph, 0, tables[[member]], ONE, 10**6)
    np.testing.assert_allclose(game.own_cost[:, [member]], alone.own_cost, atol=1e-12)
    values = [make_belief_game(graph, 0, tables[[k]], ONE, 10**6).full_value for k in range(3)]
    assert game.full_value == pytest.approx(WEIGHTS @ values)


def test_moves_that_no_member_makes_are_left_out() -> None:
    graph = random_graph(2)
    tables = random_tables(graph.legal_actions, 2, 0, unused=0.7)
    game = make_belief_game(graph, 0, tables, np.array([0.5, 0.5]), 10**6)
    whole = make_belief_game(graph, 0, random_tables(graph.legal_actions, 2, 0), np.array([0.5, 0.5]), 10**6)
    assert game.passed_probability.any(axis=1).all()
    assert len(game.passed_successor) < len(whole.passed_successor)

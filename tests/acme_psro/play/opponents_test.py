"""Tests of acme_psro.play.opponents: policies are drawn by their weights, and what was drawn is said."""

from typing import Any

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.loading import load_game
from acme_psro.play.opponents import Lineup, fixed, of_batch_policies, of_tables
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from tests.acme_psro.play.runs import JOINT, PRODUCT, pure_populations, random_policy


def bets(lineup: Lineup, game: str, dealt: int) -> list[float]:
    """Returns each player's probability to bet when all before it have passed."""
    state = load_game(game).new_initial_state()
    for card in range(dealt):
        state.apply_action(card)
    found = []
    for player in range(dealt):
        found.append(lineup.behaviour(state, player)[1])
        state.apply_action(0)
    return found


def test_fixed_policies_are_the_same_in_every_game() -> None:
    draw = fixed(lambda state, player: {0: 1.0}, 3)
    lineup = draw(np.random.default_rng(0))
    assert lineup is draw(np.random.default_rng(1))
    assert lineup.notes == ("", "", "")


def test_profiles_are_drawn_together_by_their_probability() -> None:
    game = "kuhn_poker(players=3)"
    tree = compile_game(game)
    draw = of_tables(tree, load_game(game), pure_populations(tree), JOINT)
    rng, drawn = np.random.default_rng(0), []
    for _ in range(400):
        lineup = draw(rng)
        played = bets(lineup, game, 3)
        # All bet, or all pass.
        assert len(set(played)) == 1
        drawn.append(played[0])
        index = int(played[0])
        probability = JOINT.probabilities[index]
        note = f"policy {index} of 2, drawn with those of the others, ({index}, {index}, {index}), with "
        assert lineup.notes == (f"{note}probability {probability:.3f}",) * 3
    assert np.mean(drawn) == pytest.approx(0.75, abs=0.09)


def test_independent_policies_are_drawn_each_by_its_marginal() -> None:
    tree = compile_game("kuhn_poker")
    draw = of_tables(tree, load_game("kuhn_poker"), pure_populations(tree), PRODUCT)
    rng = np.random.default_rng(0)
    lineups = [draw(rng) for _ in range(400)]
    drawn = np.array([bets(lineup, "kuhn_poker", 2) for lineup in lineups])
    np.testing.assert_allclose(drawn.mean(axis=0), [0.75, 0.5], atol=0.1)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.2
    index = int(drawn[0, 0])
    expected = f"policy {index} of 2, drawn with probability {PRODUCT.marginals[0][index]:.3f}"
    assert lineups[0].notes[0] == expected


def test_tables_are_looked_up_for_the_player_who_moves() -> None:
    tree, game = compile_game("kuhn_poker"), load_game("kuhn_poker")
    populations = tuple((random_policy(tree, player, 0),) for player in range(2))
    lineup = of_tables(tree, game, populations, ProductStrategy((np.ones(1),) * 2))(np.random.default_rng(0))
    assert lineup.notes == ("", "")
    state = game.new_initial_state()
    for action in (1, 2, 0):
        state.apply_action(action)
    rows = tree.infosets_of(1)
    row = tree.keys[rows].index("2p")
    assert lineup.behaviour(state, 1) == dict(enumerate(populations[1][0].table[row]))


def test_batch_policies_are_called_with_one_state() -> None:
    asked = []

    def policy(states: Any, player: int) -> np.ndarray:
        asked.append((len(states), player))
        return np.array([[0.25, 0.75]])

    def never(states: Any, player: int) -> np.ndarray:
        raise AssertionError

    strategy = JointStrategy(np.array([[1, 0]]), np.ones(1))
    lineup = of_batch_policies([[never, policy], [never]], strategy)(np.random.default_rng(0))
    state = load_game("kuhn_poker").new_initial_state()
    state.apply_action(0)
    state.apply_action(1)
    assert lineup.behaviour(state, 0) == {0: 0.25, 1: 0.75}
    assert asked == [(1, 0)]

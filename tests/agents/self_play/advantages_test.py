"""Advantages over own decisions, by hand: opponents and chance are the environment of a player."""

import jax.numpy as jnp
import numpy as np
import pytest

from agents.self_play.advantages import Estimates, own_advantages


def _estimate(
    player: list[int],
    reward: list[list[float]],
    ended: list[bool],
    value: list[float],
    discount: float = 1.0,
    gae_lambda: float = 1.0,
) -> Estimates:
    """Returns the estimates of one game."""
    estimates = own_advantages(
        jnp.array(player)[:, None],
        jnp.array(reward)[:, None],
        jnp.array(ended)[:, None],
        jnp.array(value)[:, None],
        discount,
        gae_lambda,
    )
    return Estimates(*(leaf[:, 0] for leaf in estimates))


def test_opponents_moves_are_skipped() -> None:
    """Players 0, 1, 0, 1 decide, rewards are paid on the way, and the game ends with 3 for player 0."""
    found = _estimate(
        player=[0, 1, 0, 1],
        reward=[[0.5, -0.5], [1.0, -1.0], [0.0, 0.0], [3.0, -3.0]],
        ended=[False, False, False, True],
        value=[2.0, -1.0, 4.0, -2.0],
        discount=0.5,
        gae_lambda=0.5,
    )
    # The last decisions get what follows them, and nothing is bootstrapped over the end.
    last_0, last_1 = 3.0 - 4.0, -3.0 + 2.0
    # The first decision of player 0 is followed by its reward of 0.5, and the 1.0 of its opponent's move.
    first_0 = (0.5 + 1.0) + 0.5 * 4.0 - 2.0 + 0.25 * last_0
    first_1 = (-1.0 + 0.0) + 0.5 * -2.0 + 1.0 + 0.25 * last_1
    np.testing.assert_allclose(found.advantage, [first_0, first_1, last_0, last_1], rtol=1e-6)
    np.testing.assert_allclose(found.target, found.advantage + np.array([2.0, -1.0, 4.0, -2.0]), rtol=1e-6)
    np.testing.assert_array_equal(found.weight, 1.0)


def test_with_lambda_one_the_target_is_the_return() -> None:
    found = _estimate(
        player=[0, 0, 1, 0],
        reward=[[1.0, 0.0], [2.0, 0.0], [4.0, 8.0], [16.0, 32.0]],
        ended=[False, False, False, True],
        value=[0.3, -0.2, 0.9, 5.0],
    )
    np.testing.assert_allclose(found.target, [23.0, 22.0, 40.0, 16.0], rtol=1e-6)


def test_a_new_game_begins_after_an_end() -> None:
    found = _estimate(
        player=[0, 0, 0, 0],
        reward=[[1.0, 0.0], [2.0, 0.0], [4.0, 0.0], [8.0, 0.0]],
        ended=[False, True, False, True],
        value=[0.0, 0.0, 0.0, 0.0],
    )
    np.testing.assert_allclose(found.target, [3.0, 2.0, 12.0, 8.0], rtol=1e-6)


def test_an_unfinished_game_is_bootstrapped_from_the_last_own_decision() -> None:
    """The rows end before it is known what the last decision of each player leads to."""
    found = _estimate(
        player=[0, 1, 0],
        reward=[[1.0, 0.0], [2.0, 0.0], [100.0, 100.0]],
        ended=[False, False, False],
        value=[0.5, 7.0, 10.0],
        discount=0.9,
    )
    np.testing.assert_array_equal(found.weight, [1.0, 0.0, 0.0])
    np.testing.assert_allclose(found.advantage[0], 1.0 + 2.0 + 0.9 * 10.0 - 0.5, rtol=1e-6)


def test_a_player_who_does_not_decide_before_the_end_gets_its_last_reward() -> None:
    """Player 1 folds, which pays player 0 for its decision before."""
    found = _estimate(
        player=[0, 1], reward=[[0.0, 0.0], [1.0, -1.0]], ended=[False, True], value=[0.25, -0.5]
    )
    np.testing.assert_allclose(found.advantage, [0.75, -0.5], rtol=1e-6)


def test_three_players_are_independent() -> None:
    rewards = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [2.0, -3.0, 1.0]]
    found = _estimate([2, 0, 1, 2], rewards, [False, False, False, True], [1.0, 0.0, 0.0, 0.5])
    np.testing.assert_allclose(found.target, [1.0, 2.0, -3.0, 1.0], rtol=1e-6)


def test_games_do_not_mix() -> None:
    both = own_advantages(
        player=jnp.array([[0, 1], [1, 0]]),
        reward=jnp.array([[[0.0, 0.0], [0.0, 0.0]], [[1.0, -1.0], [5.0, -5.0]]]),
        ended=jnp.array([[False, False], [True, True]]),
        value=jnp.zeros((2, 2)),
        discount=1.0,
        gae_lambda=0.95,
    )
    np.testing.assert_allclose(both.target, [[1.0, -5.0], [-1.0, 5.0]], rtol=1e-6)


def test_shapes_are_checked() -> None:
    with pytest.raises(AssertionError):
        own_advantages(
            jnp.zeros((3, 1), int), jnp.zeros((3, 1)), jnp.zeros((3, 1), bool), jnp.zeros((3, 1)), 1.0, 1.0
        )

"""Tests of the messages of programs on Ray: decisions from steps of games, and episodes that are played."""

import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.agent_runs.program.game_batches import FiniteGames
from acme_psro.agent_runs.ray_program.actor import play
from acme_psro.agent_runs.ray_program.evaluator import play_episodes
from acme_psro.agent_runs.ray_program.messages import Experience, to_decisions, to_transition
from acme_psro.games.batched import GameBatch
from agents.core import Observation

NOTHING = Observation(np.full(1, -1.0, np.float32), np.array([True, True]), np.zeros(0, np.float32))


def test_decisions_follow_each_other_or_end_an_episode() -> None:
    """Two games in two steps: the first game ends with its first step, the second one with its last."""
    legal = np.array([[[True, False], [True, True]]] * 3)
    message = Experience(
        info_state=np.array([[[1.0], [5.0]], [[2.0], [6.0]], [[3.0], [7.0]]], np.float32),
        legal_actions=legal,
        action=np.array([[0, 1], [0, 0]], np.int32),
        reward=np.array([[4.0, 0.0], [0.0, -2.0]], np.float32),
        last=np.array([[True, False], [False, True]]),
        episodes=[],
    )
    found = to_decisions(message, NOTHING)
    np.testing.assert_array_equal(found.info_state[:, 0], [1, 5, 2, 6])
    np.testing.assert_array_equal(found.action, [0, 1, 0, 0])
    np.testing.assert_array_equal(found.reward, [4, 0, 0, -2])
    np.testing.assert_array_equal(found.discount, [0, 1, 1, 0])
    np.testing.assert_array_equal(found.next_info_state[:, 0], [-1, 6, 3, -1])
    np.testing.assert_array_equal(
        found.next_legal_actions, [[True, True], [True, True], [True, False], [True, True]]
    )
    transition = to_transition(found)
    np.testing.assert_array_equal(transition.observation.info_state[transition.now, 0], [1, 5, 2, 6])
    np.testing.assert_array_equal(transition.observation.info_state[transition.then, 0], [-1, 6, 3, -1])
    np.testing.assert_array_equal(jnp.asarray(transition.discount), [0, 1, 1, 0])


def first_legal(observation: Observation) -> np.ndarray:
    return np.argmax(np.asarray(observation.legal_actions), axis=1)


def make_games(num_games: int, seed: int = 0) -> FiniteGames:
    return FiniteGames(GameBatch("kuhn_poker", 0, num_games, seed=seed), "openspiel:kuhn_poker")


def test_messages_of_an_actor_are_the_steps_of_its_games() -> None:
    """The same games, stepped here, give the same rewards and ends."""
    messages = play(make_games(3), first_legal, steps=4)
    two = [next(messages), next(messages)]
    games = make_games(3)
    observation = games.reset()
    for message in two:
        assert message.info_state.shape[:2] == (5, 3) and message.action.shape == (4, 3)
        for step in range(4):
            np.testing.assert_array_equal(message.info_state[step], observation.info_state)
            played = games.step(first_legal(observation))
            np.testing.assert_array_equal(message.reward[step], played.reward)
            np.testing.assert_array_equal(message.last[step], played.last)
            observation = played.observation
        np.testing.assert_array_equal(message.info_state[-1], observation.info_state)
    ended = sum(int(message.last.sum()) for message in two)
    assert ended == sum(len(message.episodes) for message in two)


def test_episodes_that_are_evaluated_do_not_favour_short_ones() -> None:
    """Player 0 passes always: against a uniform player, half of its games have a second decision."""
    row = play_episodes(make_games(50, seed=4), first_legal, episodes=2000)
    assert row["episodes"] == 2000
    # The length is 1 or 2 with the same probability, so that its mean has a standard deviation of 0.011.
    assert row["episode_length"] == pytest.approx(1.5, abs=0.06)
    # It folds against a bet, and the card decides otherwise.
    assert row["episode_return"] == pytest.approx(-0.5, abs=0.1)
    assert row["episode_return_stderr"] == pytest.approx(np.sqrt(0.75 / 2000), rel=0.1)

"""Tests of the two sides of the acting benchmark: steps made, and opponents with equal policies."""

import sys

import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

from acme_psro.games.loading import load_game
from experiments.benchmarks.acting import sides

SETTINGS = sides.Settings(games_per_actor=4, loop_steps=40, batched_steps=80, repetitions=2)


def test_a_network_answers_for_one_state_as_for_many() -> None:
    game = load_game("leduc_poker")
    states = []
    for actions in ([0, 1], [2, 3, 1], [4, 5, 2, 2]):
        states.append(game.new_initial_state())
        for action in actions:
            states[-1].apply_action(action)
    policy = sides.NetworkPolicy(game, sides.make_agent("leduc_poker", SETTINGS), 4)
    for player, those in ((0, [states[0], states[2]]), (1, [states[1]])):
        many = policy.of_many(those, player)
        assert many.shape == (len(those), 3)
        for row, state in zip(many, those, strict=True):
            alone = policy.action_probabilities(state, player)
            assert sum(alone.values()) == pytest.approx(1.0)
            np.testing.assert_allclose(row[list(alone)], list(alone.values()), atol=1e-6)
            assert row.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("with_network", [False, True])
@pytest.mark.slow
def test_both_sides_make_the_steps_that_are_timed(with_network: bool) -> None:
    game = "kuhn_poker"
    agent = sides.make_agent(game, SETTINGS)
    opponent = sides.NetworkPolicy(load_game(game), agent, 4) if with_network else None
    for make in (sides.make_loop, sides.make_batched):
        with sides.replay_of(agent) as client:
            side = make(game, agent, client, opponent, SETTINGS)
            side.run(60)
            made = side.counter.get_counts()["steps"]
            # The last episodes are played to their end.
            assert 60 <= made <= 60 + 2 * 4
            assert client.server_info()["priority_table"].current_size >= made - 5
    seconds = sides.measure(game, with_network, SETTINGS)
    assert set(seconds) == {"EnvironmentLoop", "ours"}
    assert all(0 < value < 1 for value in seconds.values())

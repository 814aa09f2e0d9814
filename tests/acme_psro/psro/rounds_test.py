"""Rounds of tasks: at most one task of each player in a call, each round with its own key."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from acme_psro.oracles.base import BestResponseTask, Counts, Response
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.psro.rounds import find_responses, responses_by_player, rounds_of, summarise

KEY = np.array([7, 9], np.uint32)
DRAW = JointStrategy(np.array([[0, 0]]), np.ones(1))
Task = BestResponseTask[str, None]


def _task(player: int, name: str, weight: float = 1.0) -> Task:
    return Task(player, ((name,), (name,)), DRAW, None, weight)


def test_one_task_a_player_is_one_round_with_the_iterations_key() -> None:
    (only,) = rounds_of(KEY, [0, 1, 2])
    assert only.places == (0, 1, 2)
    np.testing.assert_array_equal(only.key, KEY)


def test_several_tasks_of_a_player_take_turns() -> None:
    rounds = rounds_of(KEY, [0, 0, 0, 1, 2, 2])
    assert [each.places for each in rounds] == [(0, 3, 4), (1, 5), (2,)]
    assert len({each.key.tobytes() for each in rounds}) == 3
    assert all(each.key.shape == (2,) and each.key.dtype == np.uint32 for each in rounds)


def test_responses_come_back_in_the_order_of_their_tasks() -> None:
    calls: list[list[str]] = []

    def oracle(key: np.ndarray, tasks: Sequence[Task]) -> list[Response[str]]:
        calls.append([task.populations[0][0] for task in tasks])
        return [Response(task.populations[0][0], 1.0, 1.0) for task in tasks]

    tasks = [_task(0, "a"), _task(0, "b"), _task(1, "c")]
    found = find_responses(oracle, KEY, tasks)
    assert [response.policy for response in found] == ["a", "b", "c"]
    assert calls == [["a", "c"], ["b"]]
    assert [[each.policy for each in own] for own in responses_by_player(tasks, found, 2)] == [
        ["a", "b"],
        ["c"],
    ]


def test_a_players_responses_add_up_by_the_weights_of_their_tasks() -> None:
    tasks = [_task(0, "a", 0.25), _task(0, "b", 0.75), _task(1, "c")]
    responses = [
        Response[str](None, 0.0, 4.0, Counts(1, 2, 3)),
        Response("b", 2.0, 4.0, Counts(10, 20, 30)),
        Response("c", 5.0, 6.0),
    ]
    first, second = summarise(tasks, responses, 2)
    assert (first.gain, first.best_gain, first.policy) == (1.5, 4.0, "b")
    assert first.counts == Counts(11, 22, 33)
    # A single response is passed on as it is.
    assert second is responses[2]


@pytest.mark.parametrize("players", [[], [0], [1, 1]])
def test_every_task_is_in_exactly_one_round(players: list[int]) -> None:
    places = [place for each in rounds_of(KEY, players) for place in each.places]
    assert sorted(places) == list(range(len(players)))

"""Rounds of an iteration's tasks: an oracle gets at most one task of each player at a time.

Most loops have one task a player, and one round. JPSRO has one for each recommendation. Oracles keep what
belongs to a task by its key and player, so every further round has a key of its own.
"""

from __future__ import annotations

import collections
from collections.abc import Generator, Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.oracles.asking import AskingOracle, Lanes, Results, answer
from acme_psro.oracles.base import NO_WORK, BestResponseTask, Oracle, Response


class Round(NamedTuple):
    """Tasks for one call of an oracle.

    Attributes:
      key: `[2]` uint32, the key of the call.
      places: the tasks' positions among all tasks of the iteration.
    """

    key: np.ndarray
    places: tuple[int, ...]


def rounds_of(key: np.ndarray, players: Sequence[int]) -> list[Round]:
    """Returns the rounds of tasks of these players; the first one has the iteration's own key.

    Args:
      key: `[2]` uint32, the iteration's key.
      players: the player of each task.
    """
    counts: collections.Counter[int] = collections.Counter()
    rounds: list[list[int]] = []
    for place, player in enumerate(players):
        if counts[player] == len(rounds):
            rounds.append([])
        rounds[counts[player]].append(place)
        counts[player] += 1
    return [Round(round_key(key, number), tuple(places)) for number, places in enumerate(rounds)]


def round_key(key: np.ndarray, number: int) -> np.ndarray:
    """Returns `[2]` uint32: the key of a round, a function of the iteration's key and the round's number."""
    if number == 0:
        return key
    return np.random.SeedSequence([*key.tolist(), number]).generate_state(2, np.uint32)


def find_responses(
    oracle: Oracle[PolicyT, PayoffsT], key: np.ndarray, tasks: Sequence[BestResponseTask[PolicyT, PayoffsT]]
) -> list[Response[PolicyT]]:
    """Returns the oracle's responses to all tasks, in their order."""
    # Called as a function, an oracle that could ask for its work does it.
    return answer(ask_responses(lambda key, tasks: oracle(key, tasks), key, tasks), None)


def ask_responses(
    oracle: Oracle[PolicyT, PayoffsT] | AskingOracle,
    key: np.ndarray,
    tasks: Sequence[BestResponseTask[PolicyT, PayoffsT]],
) -> Generator[Lanes, Results, list[Response[PolicyT]]]:
    """Returns a generator of the same, which leaves the work of an oracle that can ask to its caller."""
    found: dict[int, Response[PolicyT]] = {}
    for each in rounds_of(key, [task.player for task in tasks]):
        asked = [tasks[place] for place in each.places]
        if isinstance(oracle, AskingOracle):
            answers = yield from oracle.ask(each.key, asked)
        else:
            answers = oracle(each.key, asked)
        found |= zip(each.places, answers, strict=True)
    return [found[place] for place in range(len(tasks))]


def responses_by_player(
    tasks: Sequence[BestResponseTask[PolicyT, PayoffsT]],
    responses: Sequence[Response[PolicyT]],
    num_players: int,
) -> tuple[tuple[Response[PolicyT], ...], ...]:
    """Returns the responses of each player, in the order of its tasks."""
    players = range(num_players)
    pairs = list(zip(tasks, responses, strict=True))
    return tuple(tuple(each for task, each in pairs if task.player == player) for player in players)


def summarise(
    tasks: Sequence[BestResponseTask[PolicyT, PayoffsT]],
    responses: Sequence[Response[PolicyT]],
    num_players: int,
) -> tuple[Response[PolicyT], ...]:
    """Returns one response a player, for metrics: that of its only task, or the sum of those of all tasks.

    In a sum, gains are weighed by the tasks' weights, work is added up, and the policies are those of all
    tasks, the first one in front.
    """
    summaries = []
    for player in range(num_players):
        own = [(task, each) for task, each in zip(tasks, responses, strict=True) if task.player == player]
        if len(own) == 1:
            summaries.append(own[0][1])
            continue
        policies = [each.policy for _, each in own if each.policy is not None]
        summaries.append(
            Response(
                policies[0] if policies else None,
                sum(task.weight * each.gain for task, each in own),
                sum(task.weight * each.best_gain for task, each in own),
                sum((each.counts for _, each in own), start=NO_WORK),
                own[0][1].metrics,
                others=tuple(policies[1:]),
            )
        )
    return tuple(summaries)

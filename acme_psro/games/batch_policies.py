"""Policies that answer many states of a game in one call, and opponents made of them.

Dimensions: `P` players, `A` distinct actions, `n` states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyspiel

from acme_psro.games.loading import load_game

# A function `(states, player) -> [n, A]`: the probabilities of all actions, 0 for illegal ones. The player is
# to move in all `n` states.
BatchPolicy = Callable[[Sequence[Any], int], np.ndarray]


class JointCall(Protocol):
    """A function that evaluates several policies in one call, as one network evaluates many states.

    A batch policy that has an attribute `joint`, a pair of such a function and its own number there, is
    asked together with the others of the same function.
    """

    def __call__(
        self, numbers: Sequence[int], states: Sequence[Sequence[Any]], player: int
    ) -> list[np.ndarray]:
        """Returns the answers `[n, A]` of the policies with these numbers, each to its own `n` states."""


class BatchOpponents(NamedTuple):
    """Policies of the other players, from which new ones are drawn for each episode.

    Attributes:
      policies: `[P][n_p]`, the policies of each player. The learner's own tuple may be empty.
      draw: a function `(generator, n) -> [n, P]` int: for each of n episodes, the index of each player's
        policy. The learner's own column is not used.
    """

    policies: tuple[tuple[BatchPolicy, ...], ...]
    draw: Callable[[np.random.Generator, int], np.ndarray]


def fixed(policies: Sequence[BatchPolicy | None]) -> BatchOpponents:
    """Returns opponents that play the same policies in each episode.

    Args:
      policies: one policy for each player, or None for the learner.
    """
    players = len(policies)
    return BatchOpponents(
        tuple(() if policy is None else (policy,) for policy in policies),
        lambda rng, episodes: np.zeros((episodes, players), np.int64),
    )


def uniform(game: str | pyspiel.Game) -> BatchPolicy:
    """Returns the policy that plays all legal actions with equal probability, for any player of the game."""
    loaded = load_game(game) if isinstance(game, str) else game
    num_actions = loaded.num_distinct_actions()

    def probabilities(states: Sequence[Any], player: int) -> np.ndarray:
        legal = np.array([state.legal_actions_mask(player) for state in states], np.float64)
        return (legal / legal.sum(axis=1, keepdims=True)).reshape(len(states), num_actions)

    return probabilities


def of_openspiel(policy: Any) -> BatchPolicy:
    """Returns a batch policy that calls an `open_spiel.python.policy.Policy` once for each state."""
    num_actions = policy.game.num_distinct_actions()

    def probabilities(states: Sequence[Any], player: int) -> np.ndarray:
        rows = np.zeros((len(states), num_actions))
        for row, state in zip(rows, states, strict=True):
            for action, probability in policy.action_probabilities(state, player).items():
                row[action] = probability
        return rows

    return probabilities


def ask(
    policies: Sequence[Sequence[BatchPolicy]], asked: Mapping[tuple[int, int], Sequence[Any]]
) -> dict[tuple[int, int], np.ndarray]:
    """Asks policies, each once for all of its states, and together if they can be.

    A network evaluates many states at once much faster than one by one, and so do several networks of the
    same shape.

    Args:
      policies: `[P][n_p]`, the policies of each player.
      asked: the states by player and number of its policy.

    Returns:
      The probabilities `[n, A]`, by player and number of its policy.
    """
    answers: dict[tuple[int, int], Any] = {}
    together: dict[tuple[int, JointCall], list[tuple[int, int]]] = {}
    for mover, number in asked:
        policy = policies[mover][number]
        if (joint := getattr(policy, "joint", None)) is not None:
            together.setdefault((mover, joint[0]), []).append((mover, number))
        else:
            answers[mover, number] = policy(asked[mover, number], mover)
    for (mover, call), keys in together.items():
        # The common case of one policy needs no padding to several.
        if len(keys) == 1:
            answers[keys[0]] = policies[mover][keys[0][1]](asked[keys[0]], mover)
            continue
        numbers = [policies[mover][number].joint[1] for _, number in keys]  # type: ignore[attr-defined]
        found = call(numbers, [asked[key] for key in keys], mover)
        answers.update(zip(keys, found, strict=True))
    return {key: np.asarray(answer, np.float64) for key, answer in answers.items()}

"""A lower bound on the number of states of a game, from random plays of it.

Of n states that are drawn independently from the same distribution, each pair is equal with the probability
that two draws collide, which is at least 1 / N if there are N states. So few collisions mean many states, as
few people that share a birthday mean a long year. The states after a fixed number of moves are such a sample.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pyspiel

# If there are as many states as allowed, a sample of this many times their root has six collisions on
# average.
_PLAYS_PER_ROOT = 3.5
# Collisions that are added to those found: a number with this expectation is zero only once in 20 times.
_DOUBT = 3.0
_FEWEST, _MOST_SECONDS = 200, 3.0


def bound_states(
    game: pyspiel.Game, identify: Callable[[Any], Any], max_states: int, seed: int = 0
) -> float | None:
    """Returns a number of states that the game very probably exceeds, if it is larger than what is allowed.

    Args:
      game: the game, in turn-based form.
      identify: a function of states whose values are equal if two states are merged.
      max_states: the allowed number.
      seed: the seed of the plays.

    Returns:
      None if nothing tells that the game has more than `max_states` states.
    """
    rng = np.random.default_rng(seed)
    end = time.process_time() + _MOST_SECONDS
    states = [game.new_initial_state() for _ in range(max(_FEWEST, int(_PLAYS_PER_ROOT * max_states**0.5)))]
    while len(states) >= _FEWEST and time.process_time() < end:
        bound = _bound(list(Counter(identify(state) for state in states).values()))
        if bound > max_states:
            return bound
        states = [state for state in states if not state.is_terminal()]
        for state, number in zip(states, rng.random(len(states)), strict=True):
            is_chance = state.is_chance_node()
            moves = [move for move, _ in state.chance_outcomes()] if is_chance else state.legal_actions()
            state.apply_action(moves[int(number * len(moves))])
    return None


def _bound(counts: list[int]) -> float:
    """Returns a lower bound on the number of states, given how often each was drawn."""
    drawn = sum(counts)
    pairs = drawn * (drawn - 1) / 2
    equal = sum(count * (count - 1) / 2 for count in counts)
    return pairs / (equal + _DOUBT + 2.0 * math.sqrt(_DOUBT * equal))

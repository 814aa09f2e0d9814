"""Estimates of the number of nodes of a game, without enumerating it.

Stochastic enumeration (Rubinstein 2013, "Stochastic enumeration method for counting NP-hard problems")
extends the estimate by random plays of Knuth (1975, "Estimating the efficiency of backtrack programs") from
one play to many side by side. At each depth a sample of nodes is kept. The mean number of moves out of them,
times the estimated number of nodes at this depth, estimates the number of nodes at the next depth without
bias, and the sample there is drawn from these moves. Only the states of one sample are in memory.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
import pyspiel

# Nodes that are kept at each depth. A game that is nowhere wider is counted exactly.
_WIDTH = 256
# Moves out of these nodes. Games with thousands of moves at a node get by with fewer nodes.
_MOST_MOVES = 100_000
# Estimates that are made independently of each other.
_SAMPLES = 4
_SECONDS_PER_SAMPLE = 0.5
# A game is far too large if all estimates exceed the allowed number of nodes this many times. By Markov's
# inequality, one estimate exceeds the true number as many times with a probability below 1/3.
_BEYOND_DOUBT = 3.0
# Depths beyond this many times the allowed number of nodes are not estimated.
_ENOUGH = 1000.0


class SizeEstimate(NamedTuple):
    """An estimated number of nodes.

    Attributes:
      nodes: the estimate.
      is_complete: False if not all depths were visited, so that the game has more nodes.
    """

    nodes: float
    is_complete: bool

    def __str__(self) -> str:
        rounded = float(f"{self.nodes:.1e}")
        number = f"{rounded:,.0f}" if rounded < 1e9 else f"{rounded:.0e}"
        return f"{'about' if self.is_complete else 'at least'} {number} by an estimate"


def estimate_size(game: pyspiel.Game, enough: float = np.inf, seed: int = 0) -> SizeEstimate:
    """Estimates the number of nodes of a game.

    Args:
      game: the game, in turn-based form and with explicit chance events.
      enough: depths are visited until this number is exceeded.
      seed: the seed of the sampled nodes.
    """
    rng = np.random.default_rng(seed)
    return _mean([_sample(game, enough, rng) for _ in range(_SAMPLES)])


def find_excess(game: pyspiel.Game, max_nodes: int, seed: int = 0) -> SizeEstimate | None:
    """Returns the size of a game that has more than `max_nodes` nodes beyond doubt, and None for other games.

    Args:
      game: the game, in turn-based form and with explicit chance events.
      max_nodes: the allowed number of nodes.
      seed: the seed of the sampled nodes.
    """
    rng = np.random.default_rng(seed)
    samples: list[SizeEstimate] = []
    while len(samples) < _SAMPLES:
        samples.append(_sample(game, _ENOUGH * max_nodes, rng))
        if samples[-1].nodes <= _BEYOND_DOUBT * max_nodes:
            return None
    return _mean(samples)


def _mean(samples: list[SizeEstimate]) -> SizeEstimate:
    return SizeEstimate(
        nodes=float(np.mean([sample.nodes for sample in samples])),
        is_complete=all(sample.is_complete for sample in samples),
    )


def _sample(game: pyspiel.Game, enough: float, rng: np.random.Generator) -> SizeEstimate:
    """Estimates the number of nodes once."""
    end = time.process_time() + _SECONDS_PER_SAMPLE
    states = [game.new_initial_state()]
    # Estimated number of nodes at the depth of the states, and at all depths down to it.
    here, total = 1.0, 1.0
    while True:
        moves = _moves_of(states)
        sizes = np.array([len(each) for each in moves])
        here *= sizes.mean()
        total += here
        if not here:
            return SizeEstimate(total, is_complete=True)
        if total > enough or time.process_time() > end:
            return SizeEstimate(total, is_complete=False)
        # Numbers the moves out of all states, draws some of them and makes these.
        ends = np.cumsum(sizes)
        drawn = rng.choice(ends[-1], min(_WIDTH, ends[-1]), replace=False)
        parents = np.searchsorted(ends, drawn, side="right")
        slots = drawn - (ends - sizes)[parents]
        states = [states[node].child(moves[node][slot]) for node, slot in zip(parents, slots, strict=True)]


def _moves_of(states: list[Any]) -> list[list[int]]:
    """Returns the moves out of states, or of the first ones if there are too many moves."""
    moves: list[list[int]] = []
    left = _MOST_MOVES
    for state in states:
        moves.append(_moves(state))
        left -= len(moves[-1])
        if left < 0:
            break
    return moves


def _moves(state: Any) -> list[int]:
    """Returns the actions or chance outcomes at a state, none at a terminal one."""
    if state.is_terminal():
        return []
    if state.is_chance_node():
        return [action for action, _ in state.chance_outcomes()]
    return list(state.legal_actions())

"""Equilibria of restricted games on graphs, by magnetic mirror descent on tables.

The policies that are found look at observations alone, as those of networks on graphs do. How exact they are
is known all the same: their gap is measured by best responses with perfect recall among allowed actions.

Dimensions: those of `acme_psro.restricted_games.on_graph`.
"""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np

from acme_psro.evaluation import beliefs
from acme_psro.games.graph import GameGraph
from acme_psro.restricted_games.certificate import Solution
from acme_psro.restricted_games.on_graph import RestrictedGraph
from acme_psro.self_play import tabular

# Updates from one look at the gap to the next, which costs as much as a few of them.
_BLOCK = 50
# Share of even play among allowed actions in the policy to begin with, so that new actions have a chance.
_EVEN = 0.2

# In a restricted game of abrupt dark hex a rate of 1 leaves a tenth more of the gap after 300 updates, and a
# rate of 0.2, with a temperature of 0.2, two fifths more.
_USUAL = tabular.TabularConfig(learning_rate=0.5, temperature=0.1)


@dataclasses.dataclass(frozen=True)
class Descent:
    """Budget and settings of a solution.

    Attributes:
      max_updates: the largest number of updates.
      tabular: the settings of mirror descent to begin with. Its learning rate is halved whenever the gap has
        grown.

    Raises:
      ValueError: the number of updates is below 1.
    """

    max_updates: int = 300
    tabular: tabular.TabularConfig = _USUAL

    def __post_init__(self) -> None:
        if self.max_updates < 1:
            raise ValueError(f"max_updates must be at least 1, not {self.max_updates}.")


def solve(
    restricted: RestrictedGraph, initial: np.ndarray, tolerance: float, descent: Descent | None = None
) -> Solution:
    """Solves a restricted game of two players.

    Args:
      restricted: the restricted game.
      initial: `[O, A]`, policies of the whole game to begin with, such as the solution of a smaller
        restricted game; actions that are not allowed do not count.
      tolerance: the gap (see `Solution`) that is exact enough, in utility units.
      descent: budget and settings.

    Returns:
      The policies with the smallest gap among the initial ones and those after every few updates, as a table
      `[M, A]` of the restricted game. The gap may be greater than `tolerance`.

    Raises:
      ValueError: the game has not two players, or the tolerance is not positive.
    """
    if not (tolerance > 0 and math.isfinite(tolerance)):
        raise ValueError(f"the tolerance must be a positive number, and is {tolerance}.")
    descent, start, graph = descent or Descent(), time.monotonic(), restricted.graph
    config = descent.tabular
    best = _among_allowed(graph, initial[restricted.rows])
    state = tabular.from_policy(graph, (1 - _EVEN) * best + _EVEN * graph.uniform_policy())
    gap, updates = beliefs.nash_conv(graph, *_pair(best)), 0
    last = math.inf
    while gap > tolerance and updates < descent.max_updates:
        for _ in range(min(_BLOCK, descent.max_updates - updates)):
            state, _ = tabular.update(graph, config, state)
            updates += 1
        table = tabular.policy(graph, state)
        now = beliefs.nash_conv(graph, *_pair(table))
        if now > last:
            config = dataclasses.replace(config, learning_rate=config.learning_rate / 2)
        last = now
        if now < gap:
            best, gap = table, now
    return Solution(best, gap, "mirror descent", time.monotonic() - start, updates)


def _among_allowed(graph: GameGraph, table: np.ndarray) -> np.ndarray:
    """Returns a table's policies among allowed actions, even ones where it takes none of them."""
    even = graph.uniform_policy()
    kept = np.where(graph.legal_actions, table, 0.0)
    total = kept.sum(axis=1, keepdims=True)
    known: np.ndarray = np.divide(kept, total, out=even, where=total > 0)
    return known


def _pair(table: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the policies of both players as mixtures of one member each, see `beliefs.gains`."""
    return [table[None]] * 2, [np.ones(1)] * 2

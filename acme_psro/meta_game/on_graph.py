"""The meta-game of policies on a graph: every payoff is exact, and follows from a sweep over the graph.

Dimensions: `P` = 2 players, `n_p` policies of player p; others as in `acme_psro.games.graph`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acme_psro.games import sweeps
from acme_psro.games.graph import GameGraph
from acme_psro.meta_game.payoffs import empty_payoffs, extend_payoffs, missing_boxes, value
from acme_psro.policies.meta_strategy import BehaviouralStrategy, MetaStrategy, require_product
from acme_psro.policies.on_graph import (
    GraphPolicy,
    GraphPopulation,
    stack_tables,
    uniform_graph_policy,
)


class GraphMetaGame:
    """The meta-game of a graph of two players, see `acme_psro.meta_game.base.MetaGame`.

    Args:
      graph: the compiled game.
      first: the players' first policies; None for uniform ones.
    """

    def __init__(self, graph: GameGraph, first: tuple[GraphPolicy, ...] | None = None) -> None:
        self._graph, self._first = graph, first

    def first(self) -> tuple[GraphPolicy, ...]:
        """Returns the policies that populations begin with."""
        if self._first is not None:
            return self._first
        return tuple(uniform_graph_policy(self._graph, player) for player in range(2))

    def extend(self, populations: Sequence[GraphPopulation], known: np.ndarray | None) -> np.ndarray:
        """Returns the payoffs `[P, n_0, n_1]`; only cells that `known` lacks are computed."""
        known = empty_payoffs(2) if known is None else known
        sizes = [len(population) for population in populations]
        filled = extend_payoffs(known, sizes)
        for box in missing_boxes(known.shape[1:], sizes):
            rows, columns = box
            cells = payoffs_of_pairs(self._graph, populations[0][rows], populations[1][columns])
            filled[:, rows, columns] = cells
        return filled

    def tensor(self, payoffs: np.ndarray) -> np.ndarray:
        """Returns the payoffs themselves."""
        return payoffs


def payoffs_of_pairs(graph: GameGraph, first: GraphPopulation, second: GraphPopulation) -> np.ndarray:
    """Returns the payoffs `[P, n_0, n_1]` of all pairs of the players' policies, in utility units."""
    return sweeps.payoffs(graph, [stack_tables(graph, 0, first), stack_tables(graph, 1, second)])


def expected_returns(graph: GameGraph, payoffs: np.ndarray, meta_strategy: MetaStrategy) -> np.ndarray:
    """Returns `[P]`, the players' expected returns by a meta-strategy.

    Args:
      graph: the compiled game.
      payoffs: `[P, n_0, n_1]`, payoffs of the populations.
      meta_strategy: a distribution for each player, or one policy for each.
    """
    if isinstance(meta_strategy, BehaviouralStrategy):
        return sweeps.expected_returns(graph, np.concatenate(meta_strategy.tables))
    return value(payoffs, require_product(meta_strategy))


def returns_against(
    graph: GameGraph,
    player: int,
    policies: GraphPopulation,
    populations: Sequence[GraphPopulation],
    meta_strategy: MetaStrategy,
) -> np.ndarray:
    """Returns `[P, n]`: what the players earn if one plays each of n policies against the other's mixture.

    Args:
      graph: the compiled game.
      player: the player of the policies.
      policies: its policies.
      populations: one a player; the player's own does not count.
      meta_strategy: a distribution for each player.
    """
    weights = require_product(meta_strategy).marginals[1 - player]
    drawn = np.flatnonzero(weights)
    met = tuple(populations[1 - player][k] for k in drawn)
    if player == 0:
        return payoffs_of_pairs(graph, policies, met) @ weights[drawn]
    return np.moveaxis(payoffs_of_pairs(graph, met, policies), 1, 2) @ weights[drawn]

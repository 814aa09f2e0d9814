"""The meta-game of policies on a graph: every payoff is exact, and follows from a sweep over the graph.

Dimensions: `P` players, `n_p` policies of player p; others as in `acme_psro.games.graph`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acme_psro.games import sweeps
from acme_psro.games.graph import GameGraph
from acme_psro.meta_game.payoffs import empty_payoffs, extend_payoffs, missing_boxes, value
from acme_psro.meta_game.profiles import drawn_others
from acme_psro.policies.meta_strategy import BehaviouralStrategy, MetaStrategy, PopulationStrategy
from acme_psro.policies.on_graph import (
    GraphPolicy,
    GraphPopulation,
    stack_populations,
    uniform_graph_policy,
)


class GraphMetaGame:
    """The meta-game of a graph, see `acme_psro.meta_game.base.MetaGame`.

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
        return tuple(uniform_graph_policy(self._graph, player) for player in range(self._graph.num_players))

    def extend(self, populations: Sequence[GraphPopulation], known: np.ndarray | None) -> np.ndarray:
        """Returns the payoffs `[P, n_1, .., n_P]`; only cells that `known` lacks are computed."""
        known = empty_payoffs(self._graph.num_players) if known is None else known
        sizes = [len(population) for population in populations]
        filled = extend_payoffs(known, sizes)
        for box in missing_boxes(known.shape[1:], sizes):
            new = [population[part] for population, part in zip(populations, box, strict=True)]
            of_all = slice(None), *box
            filled[of_all] = payoffs_of(self._graph, new)
        return filled

    def tensor(self, payoffs: np.ndarray) -> np.ndarray:
        """Returns the payoffs themselves."""
        return payoffs


def payoffs_of(graph: GameGraph, populations: Sequence[GraphPopulation]) -> np.ndarray:
    """Returns the payoffs `[P, n_1, .., n_P]` of all profiles of the players' policies, in utility units."""
    return sweeps.payoffs(graph, stack_populations(graph, populations))


def expected_returns(graph: GameGraph, payoffs: np.ndarray, meta_strategy: MetaStrategy) -> np.ndarray:
    """Returns `[P]`, the players' expected returns by a meta-strategy.

    Args:
      graph: the compiled game.
      payoffs: `[P, n_1, .., n_P]`, payoffs of the populations.
      meta_strategy: over profiles of them, or one policy for each player.
    """
    if isinstance(meta_strategy, BehaviouralStrategy):
        return sweeps.expected_returns(graph, np.concatenate(meta_strategy.tables))
    return value(payoffs, meta_strategy)


def returns_against(
    graph: GameGraph,
    player: int,
    policies: GraphPopulation,
    populations: Sequence[GraphPopulation],
    meta_strategy: PopulationStrategy,
) -> np.ndarray:
    """Returns `[P, n]`: what the players earn if one plays each of n policies against the others' draws.

    Args:
      graph: the compiled game.
      player: the player of the policies.
      policies: its policies.
      populations: one a player; the player's own does not count.
      meta_strategy: over profiles of the populations.
    """
    drawn, probabilities = drawn_others(meta_strategy, [len(each) for each in populations], player)
    profiles = np.tile(drawn, (len(policies), 1))
    profiles[:, player] = np.repeat(np.arange(len(policies)), len(drawn))
    playing = [policies if other == player else each for other, each in enumerate(populations)]
    returns = sweeps.returns_of_profiles(graph, stack_populations(graph, playing), profiles)
    # The product is over the drawn profiles, the last axis but one.
    return (probabilities @ returns.reshape(len(policies), len(drawn), graph.num_players)).T

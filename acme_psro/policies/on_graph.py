"""Policies on a game that is compiled to a graph, and the populations that collect them.

A policy is a function of what its player observes. A mixture of such policies is no such policy: its weights
at an observation depend on the history. So mixtures are kept as lists of policies with weights.

Dimensions: `O_p` observations of player p, `O` of all players, `A` actions, `n_p` policies of player p.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.games.graph import GameGraph
from acme_psro.policies.meta_strategy import (
    BehaviouralStrategy,
    MetaStrategy,
    PopulationStrategy,
    ProductStrategy,
)
from acme_psro.policies.tabular import check_table


class GraphPolicy(NamedTuple):
    """One player's policy.

    Attributes:
      table: `[O_p, A]` float64, rows sum to 1, exactly 0 on illegal actions.
    """

    table: np.ndarray


# Append-only: a policy keeps its index for good.
GraphPopulation = tuple[GraphPolicy, ...]


def make_graph_policy(graph: GameGraph, player: int, table: np.ndarray) -> GraphPolicy:
    """Returns a policy from its probabilities `[O_p, A]`.

    Raises:
      ValueError: a row is not a distribution over legal actions.
    """
    return GraphPolicy(check_table(graph.legal_actions[graph.rows_of(player)], player, table))


def uniform_graph_policy(graph: GameGraph, player: int) -> GraphPolicy:
    """Returns the policy that plays all legal actions with equal probability."""
    return make_graph_policy(graph, player, graph.uniform_policy()[graph.rows_of(player)])


def as_members(
    populations: Sequence[GraphPopulation], meta_strategy: MetaStrategy
) -> tuple[tuple[GraphPopulation, ...], PopulationStrategy]:
    """Returns a meta-strategy as a distribution over policies, with the policies.

    One policy for each player, as of `--loop=xdo`, is the only member of its player's population.
    """
    if not isinstance(meta_strategy, BehaviouralStrategy):
        return tuple(populations), meta_strategy
    alone = tuple((GraphPolicy(table),) for table in meta_strategy.tables)
    return alone, ProductStrategy((np.ones(1),) * len(alone))


def stack_tables(graph: GameGraph, player: int, population: GraphPopulation) -> np.ndarray:
    """Returns `[n, O, A]`: a player's policies as tables of all players; the others play uniformly."""
    tables = np.tile(graph.uniform_policy(), (len(population), 1, 1))
    tables[:, graph.rows_of(player)] = np.stack([policy.table for policy in population])
    return tables


def stack_populations(graph: GameGraph, populations: Sequence[GraphPopulation]) -> list[np.ndarray]:
    """Returns `stack_tables` of each player's population."""
    return [stack_tables(graph, player, population) for player, population in enumerate(populations)]

"""A game that is compiled to a graph of merged states, as the oracle of members uses it.

Members' payoffs are exact: all pairs are swept over the graph together. Exact best responses to mixtures
remember what they saw, and take seconds for one mixture (`acme_psro.evaluation.beliefs`). So what they gain
over each member's mixture is unknown.

Dimensions: `O` observations over all players; others as in `acme_psro.neupl.base`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acme_psro.games.graph import GameGraph
from acme_psro.meta_game.on_graph import payoffs_of
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.sinks import make_sink
from acme_psro.neupl.values import Assessment, estimated_values
from acme_psro.policies.on_graph import GraphPolicy, GraphPopulation, make_graph_policy


class GraphMembers:
    """Members on a graph, see `acme_psro.neupl.base.MemberGame`.

    Args:
      graph: the compiled game, two-player and zero-sum.
    """

    def __init__(self, graph: GameGraph) -> None:
        self._graph = graph

    @property
    def compiled(self) -> GameGraph:
        """The graph."""
        return self._graph

    def find_shared(self, sink: np.ndarray) -> None:
        """Returns None: symmetry is not looked for, so that each player has members of its own."""
        del sink

    def make_populations(self, tables: np.ndarray) -> tuple[GraphPopulation, ...]:
        """Returns one population a player from policies `[N, O, A]` for all players."""
        # Probabilities of networks are float32, whose sums are 1 only up to rounding.
        whole = np.asarray(tables, np.float64)
        whole = whole / whole.sum(axis=2, keepdims=True)
        return tuple(
            tuple(make_graph_policy(self._graph, player, each[self._graph.rows_of(player)]) for each in whole)
            for player in range(2)
        )

    def assess(self, populations: Sequence[GraphPopulation], graph: np.ndarray) -> Assessment:
        """Returns the exact payoffs of members whose mixtures are `graph` `[P, N, N]`, and their values.

        Values of best responses are NaN.
        """
        payoffs = payoffs_of(self._graph, populations)
        return Assessment(payoffs, estimated_values(graph, payoffs))

    def exploit(
        self, populations: tuple[GraphPopulation, ...], mixtures: np.ndarray, tables: np.ndarray
    ) -> None:
        """Returns None: exact best responses to many mixtures would take minutes."""
        del populations, mixtures, tables


def make_graph_sinks(graph: GameGraph, config: NeuPLConfig) -> tuple[GraphPolicy, ...]:
    """Returns the players' sinks, with which populations on a graph begin.

    Raises:
      StoredPolicyError: a file holds no policy on this graph, see `acme_psro.neupl.sinks.read_sinks`.
    """
    sink = make_sink(graph, config)
    return tuple(make_graph_policy(graph, player, sink[graph.rows_of(player)]) for player in range(2))

"""Exact evaluation of mixtures of policies on a graph, against best responses with perfect recall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acme_psro.evaluation import beliefs
from acme_psro.evaluation.exact import Evaluation
from acme_psro.evaluation.graph_mixtures import Mixture, mixture_returns
from acme_psro.games.graph import GameGraph
from acme_psro.policies.meta_strategy import MetaStrategy, require_product
from acme_psro.policies.on_graph import GraphPopulation, as_members, stack_tables


def evaluate_on_graph(
    graph: GameGraph,
    populations: Sequence[GraphPopulation],
    meta_strategy: MetaStrategy,
    returns: np.ndarray | None = None,
    on_progress: beliefs.OnProgress | None = None,
) -> Evaluation:
    """Evaluates the mixture of the populations exactly.

    Args:
      graph: the compiled game.
      populations: one a player.
      meta_strategy: a distribution for each player, or one policy for each.
      returns: `[P]`, what the players earn by the mixture, if exact payoffs are known; None to compute it.
      on_progress: called from time to time, see `acme_psro.evaluation.beliefs.gains`.

    Raises:
      ValueError: the meta-strategy is a joint distribution, or the search needs too much memory.
    """
    populations, meta_strategy = as_members(populations, meta_strategy)
    tables, weights = [], []
    for player, marginal in enumerate(require_product(meta_strategy).marginals):
        drawn = np.flatnonzero(marginal)
        tables.append(stack_tables(graph, player, tuple(populations[player][k] for k in drawn)))
        weights.append(marginal[drawn] / marginal[drawn].sum())
    if returns is None:
        mixtures = [Mixture(*each) for each in zip(tables, weights, strict=True)]
        returns = mixture_returns(graph, mixtures)
    gains = beliefs.gains(graph, tables, weights, returns=returns, on_progress=on_progress)
    return Evaluation(returns, gains)

"""Exact figures of a meta-strategy on a graph: what players gain over it, drawing apart or together.

Dimensions: `P` players.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from acme_psro.evaluation import correlated_on_graph
from acme_psro.evaluation.beliefs import OnProgress
from acme_psro.evaluation.correlated import Gaps
from acme_psro.evaluation.exact import Evaluation
from acme_psro.evaluation.on_graph import evaluate_on_graph
from acme_psro.games.graph import GameGraph
from acme_psro.meta_game.on_graph import expected_returns
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.policies.on_graph import GraphPolicy
from acme_psro.population_runs.metrics import Row
from acme_psro.psro.loop import PSROState, independent
from acme_psro.solvers.properties import Concept

State = PSROState[GraphPolicy, np.ndarray]


class GraphFigures(NamedTuple):
    """Exact figures, in the game's utility units; NaN if they are not known.

    Attributes:
      mixture: the evaluation of the mixture; of a joint distribution, that of its marginals.
      together: the figures of a joint distribution, whose `ce_gains` are NaN if only a coarse correlated
        equilibrium is sought; None if the players draw independently.
    """

    mixture: Evaluation
    together: Gaps | None = None

    def sought(self, concept: Concept) -> np.ndarray:
        """Returns `[P]`, what players gain over what the run looks for."""
        if self.together is None:
            return self.mixture.per_player_gain
        return self.together.ce_gains if concept is Concept.CE else self.together.cce_gains

    def columns(self, concept: Concept) -> Row:
        """Returns the figures by the names of metrics, see `acme_psro.population_runs.metrics`.

        Gains after recommendations are among them if the run looks for a correlated equilibrium.
        """
        row = {"nash_conv": self.mixture.nash_conv, "exploitability": self.mixture.exploitability}
        row |= {f"gain_{player}": float(gain) for player, gain in enumerate(self.mixture.per_player_gain)}
        if self.together is None:
            return row
        _, cce_gains, ce_gains = self.together
        row["cce_gap"] = float(cce_gains.sum())
        if concept is Concept.CE:
            row["ce_gap"] = float(ce_gains.sum())
        return row | {f"cce_gain_{player}": float(gain) for player, gain in enumerate(cce_gains)}


def unknown_figures(num_players: int, is_joint: bool) -> GraphFigures:
    """Returns figures of which nothing is known."""
    unknown = np.full(num_players, math.nan)
    return GraphFigures(Evaluation(unknown, unknown), Gaps(unknown, unknown, unknown) if is_joint else None)


def evaluate_state(
    graph: GameGraph,
    state: State,
    concept: Concept,
    payoffs_are_exact: bool,
    on_progress: OnProgress | None = None,
) -> GraphFigures:
    """Evaluates a state's meta-strategy exactly, against deviations that remember everything.

    Args:
      graph: the compiled game.
      state: the state of a run.
      concept: the meta-solver's solution concept; gains after recommendations are computed only for
        correlated equilibria, as they are a search for each recommendation.
      payoffs_are_exact: False if the state's payoffs are estimates; never so with a joint distribution.
      on_progress: called from time to time, see `acme_psro.evaluation.beliefs.best_response_values`.

    Raises:
      MemoryBoundError: a search needs too much memory.
    """
    joint, populations = state.meta_strategy, state.populations
    if not isinstance(joint, JointStrategy):
        returns = expected_returns(graph, state.payoffs, joint) if payoffs_are_exact else None
        return GraphFigures(evaluate_on_graph(graph, populations, joint, returns, on_progress))
    apart = independent(state)
    returns = expected_returns(graph, state.payoffs, apart)
    mixture = evaluate_on_graph(graph, populations, apart, returns, on_progress)
    earned = expected_returns(graph, state.payoffs, joint)
    if graph.num_players == 2:
        # A single other player draws by its marginal, so that the same responses are best.
        best = mixture.per_player_gain + mixture.expected_returns
        cce_gains = np.maximum(best - earned, 0.0)
    else:
        cce_gains = correlated_on_graph.cce_gains(graph, populations, joint, state.payoffs, on_progress)
    ce_gains = np.full(graph.num_players, math.nan)
    if concept is Concept.CE:
        ce_gains = correlated_on_graph.ce_gains(graph, populations, joint, state.payoffs, on_progress)
    return GraphFigures(mixture, Gaps(earned, cce_gains, ce_gains))

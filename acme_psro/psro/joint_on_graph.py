"""JPSRO on graphs of merged states, see `acme_psro.psro.joint`.

Gaps are searches there, which may take minutes, so that they are no figures of the loop: the run evaluates
as often as it is asked to.
"""

from __future__ import annotations

import functools

import numpy as np

from acme_psro.evaluation.correlated_on_graph import recommendation_gaps
from acme_psro.games.graph import GameGraph
from acme_psro.meta_game.base import MetaGame
from acme_psro.policies.on_graph import GraphPolicy
from acme_psro.psro import joint
from acme_psro.psro.loop import Loop
from acme_psro.psro.meta_solving import SolveMetaGame
from acme_psro.solvers.properties import Concept


def make_loop(
    graph: GameGraph,
    meta_game: MetaGame[GraphPolicy, np.ndarray],
    solve: SolveMetaGame,
    concept: Concept,
    ce_responses: str = "largest_gap",
) -> Loop[GraphPolicy, np.ndarray]:
    """Returns the loop in a game that is compiled to a graph, with the welfare as its figure.

    Args:
      graph: the compiled game.
      meta_game: knows payoffs.
      solve: the meta-solver, which returns a joint distribution.
      concept: see `acme_psro.psro.joint.make_loop`.
      ce_responses: see there. The largest gap is found by a search for each recommendation.
    """
    gaps_after = functools.partial(recommendation_gaps, graph)
    tasks = joint.make_tasks(meta_game, concept, ce_responses, gaps_after)
    return Loop(joint.make_sampled_loop(meta_game, solve).solve, tasks)

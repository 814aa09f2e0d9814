"""NeuPL-JPSRO: JPSRO whose policies are all of one network (Liu et al. 2024, arXiv:2401.05133).

Players respond to a coarse correlated equilibrium of the meta-game, as in JPSRO. What joins the populations
are not the responses, but what one network for all players has learned of them. Earlier members may change a
little while it learns, so populations and payoffs are replaced in each iteration. See
`acme_psro.neupl.distilling_oracle`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from acme_psro.games.tree import GameTree
from acme_psro.meta_game.base import MetaGame
from acme_psro.oracles.base import Response
from acme_psro.policies.tabular import Policy, Population
from acme_psro.psro import joint
from acme_psro.psro.loop import Loop, Question, Solution
from acme_psro.psro.meta_solving import SolveMetaGame
from acme_psro.solvers.properties import Concept

# Policies play alike if the probabilities of none of their sequences of actions differ by more than this.
_ALIKE = 1e-3


def make_loop(
    tree: GameTree, meta_game: MetaGame[Policy, np.ndarray], solve: SolveMetaGame
) -> Loop[Policy, np.ndarray]:
    """Returns the loop in a compiled game, with JPSRO's figures and those of the network.

    Figures of the network are the largest ones of all players: what a new member gains less than its
    response (`distillation_gap`, in utility units), its mean KL from its response (`distillation_kl`), and
    the largest mean KL of an earlier member from what it was (`kept_kl`), both in nats. They are NaN if there
    is no such member. `kept_drift` is the largest change of any payoff of earlier members, and
    `different_P` the number of player P's policies that play differently.

    Args:
      tree: the compiled game.
      meta_game: knows payoffs.
      solve: the meta-solver, which returns a joint distribution.
    """
    correlated = joint.make_loop(tree, meta_game, solve, Concept.CCE)

    def solve_members(question: Question[Policy, np.ndarray]) -> Solution:
        solution = correlated.solve(question)
        figures = {
            **solution.figures,
            **{
                name: _largest(question.responses, name)
                for name in ("distillation_gap", "distillation_kl", "kept_kl")
            },
            "kept_drift": _drift(question),
        }
        for player, population in enumerate(question.populations):
            figures[f"different_{player}"] = float(count_different(population))
        return Solution(solution.meta_strategy, figures)

    return dataclasses.replace(correlated, solve=solve_members, replaces=True)


def count_different(population: Population) -> int:
    """Returns the number of a population's policies that play differently, wherever they get to."""
    found: list[Policy] = []
    for policy in population:
        if all(np.abs(policy.plan - other.plan).max() > _ALIKE for other in found):
            found.append(policy)
    return len(found)


def _largest(responses: Sequence[Response[Policy]], name: str) -> float:
    """Returns the largest of the players' metrics of this name; NaN if no player has it."""
    values = [float(each.metrics[name]) for each in responses if name in each.metrics]
    return max(values, default=math.nan)


def _drift(question: Question[Policy, np.ndarray]) -> float:
    """Returns the largest change of a payoff that was known; NaN if none was."""
    if question.known is None:
        return math.nan
    earlier = tuple(slice(size) for size in question.known.shape)
    return float(np.abs(question.payoffs[earlier] - question.known).max())

"""JPSRO: response oracles with correlated meta-strategies (Marris et al. 2021, arXiv:2106.09435).

The meta-strategy is one joint distribution over profiles of policies, a correlated or a coarse correlated
equilibrium of the meta-game. Such equilibria exist, and can be computed, in every game, of any number of
players and with any sums. Players respond to the others' joint draw, never to their marginals:

- JPSRO(CCE): every player responds once, as if it did not know what was drawn for it.
- JPSRO(CE): every player responds to a policy that is recommended to it, knowing which one: to the one with
  the largest gap, or to each of them.

With all responses, populations double in an iteration as long as all policies are recommended, and meta-games
soon become too large to solve.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from acme_psro.evaluation.correlated import RecommendationGap, gaps, recommendation_gaps
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.base import MetaGame, PayoffsT, PolicyT
from acme_psro.meta_game.payoffs import value
from acme_psro.meta_game.profiles import recommendations, recommended
from acme_psro.oracles.base import BestResponseTask
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.policies.tabular import Policy
from acme_psro.psro.loop import Loop, PSROState, Question, Solution, tasks_of
from acme_psro.psro.meta_solving import SolveMetaGame
from acme_psro.solvers.properties import Concept

# Recommendations of a smaller probability get no responses: a solver's rounding leaves such ones.
_LEAST_PROBABILITY = 1e-6

GapsAfter = Callable[[Sequence[tuple[PolicyT, ...]], JointStrategy, int, np.ndarray], list[RecommendationGap]]


def make_loop(
    tree: GameTree,
    meta_game: MetaGame[Policy, np.ndarray],
    solve: SolveMetaGame,
    concept: Concept,
    ce_responses: str = "largest_gap",
) -> Loop[Policy, np.ndarray]:
    """Returns the loop in a compiled game, with exact gaps as its figures.

    The figures are the sums over players of what each gains by a best response to the joint distribution
    (`cce_gap`) and by best responses to all its recommendations (`ce_gap`), and the sum of the players'
    expected returns (`welfare`), all in utility units.

    Args:
      tree: the compiled game.
      meta_game: knows payoffs.
      solve: the meta-solver, which returns a joint distribution.
      concept: the meta-solver's solution concept. If it is a correlated equilibrium, there are responses to
        recommendations.
      ce_responses: to which ones: "largest_gap" for that recommendation of each player
        after which it gains most, weighed by its probability, "all" for each one.
    """

    def solve_payoffs(question: Question[Policy, np.ndarray]) -> Solution:
        tensor = meta_game.tensor(question.payoffs)
        joint = require_joint(solve(tensor))
        found = gaps(tree, question.populations, joint, tensor)
        figures = {
            "cce_gap": float(found.cce_gains.sum()),
            "ce_gap": float(found.ce_gains.sum()),
            "welfare": float(found.expected_returns.sum()),
        }
        return Solution(joint, figures)

    gaps_after = functools.partial(recommendation_gaps, tree)
    return Loop(solve_payoffs, make_tasks(meta_game, concept, ce_responses, gaps_after))


def make_tasks(
    meta_game: MetaGame[PolicyT, np.ndarray],
    concept: Concept,
    ce_responses: str,
    gaps_after: GapsAfter[PolicyT],
) -> Callable[[PSROState[PolicyT, np.ndarray]], list[BestResponseTask[PolicyT, np.ndarray]]]:
    """Returns the function that sets an iteration's tasks.

    Args:
      meta_game: knows payoffs.
      concept: see `make_loop`.
      ce_responses: see `make_loop`.
      gaps_after: (populations, joint distribution, player, payoffs `[P, n_1, .., n_P]`) -> the player's gap
        after each policy that may be recommended to it.
    """

    def largest_gaps(state: PSROState[PolicyT, np.ndarray]) -> list[BestResponseTask[PolicyT, np.ndarray]]:
        return _tasks_of_largest_gaps(state, meta_game.tensor(state.payoffs), gaps_after)

    if concept is not Concept.CE:
        return tasks_of
    return largest_gaps if ce_responses == "largest_gap" else _tasks_by_recommendation


def make_sampled_loop(
    meta_game: MetaGame[PolicyT, PayoffsT], solve: SolveMetaGame
) -> Loop[PolicyT, PayoffsT]:
    """Returns JPSRO(CCE) for payoffs that are estimates, with the welfare by them as its figure.

    Args:
      meta_game: knows payoffs.
      solve: the meta-solver, which returns a joint distribution.
    """

    def solve_payoffs(question: Question[PolicyT, PayoffsT]) -> Solution:
        tensor = meta_game.tensor(question.payoffs)
        joint = require_joint(solve(tensor))
        return Solution(joint, {"welfare": float(value(tensor, joint).sum())})

    return Loop(solve_payoffs)


def require_joint(meta_strategy: object) -> JointStrategy:
    """Returns the meta-strategy if it is a joint distribution.

    Raises:
      ValueError: it is not.
    """
    if not isinstance(meta_strategy, JointStrategy):
        raise ValueError("--loop=jpsro needs a meta-solver that returns a joint distribution over profiles.")
    return meta_strategy


def _tasks_of_largest_gaps(
    state: PSROState[PolicyT, np.ndarray], payoffs: np.ndarray, gaps_after: GapsAfter[PolicyT]
) -> list[BestResponseTask[PolicyT, np.ndarray]]:
    """Returns a task for each player: a response to the recommendation after which it gains most.

    It counts as one task, with what it gains if the player responds to this recommendation alone.
    """
    joint = require_joint(state.meta_strategy)
    tasks = []
    for player in range(len(state.populations)):
        found = gaps_after(state.populations, joint, player, payoffs)
        best = max(found, key=lambda each: each.gap)
        told = recommended(joint, player, best.policy)
        assert told is not None, "its probability is above 0"
        tasks.append(BestResponseTask(player, state.populations, told, state.payoffs, best.weight))
    return tasks


def _tasks_by_recommendation(
    state: PSROState[PolicyT, np.ndarray],
) -> list[BestResponseTask[PolicyT, np.ndarray]]:
    """Returns a task for each player and each policy that is recommended to it."""
    joint = require_joint(state.meta_strategy)
    return [
        BestResponseTask(player, state.populations, told, state.payoffs, weight)
        for player in range(len(state.populations))
        for _, weight, told in recommendations(joint, player)
        if weight >= _LEAST_PROBABILITY
    ]

"""One population for both players of a symmetric game.

Every response joins the populations of both players, as the policy that plays alike in either seat. So the
populations are the same, policy by policy, and one response for each mixture is found instead of two. It
needs meta-strategies that are the same for both players, by which a player responds to itself.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from acme_psro.games.symmetry import exchange
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.profiles import cell_probabilities, joint_of_cells
from acme_psro.oracles.base import NO_WORK, BestResponseTask, Response
from acme_psro.policies.meta_strategy import JointStrategy, MetaStrategy, ProductStrategy, require_weights
from acme_psro.policies.tabular import Policy, make_policy
from acme_psro.psro.base import Loop, PSROState
from acme_psro.psro.meta_solving import SolveMetaGame
from acme_psro.solvers import SOLVERS
from acme_psro.solvers.properties import Concept, Domain, properties_of

Task = BestResponseTask[Policy, np.ndarray]


def check_solver_shares(name: str, zero_sum: bool) -> None:
    """Checks that a meta-solver's answers can be made the same for both players of a symmetric game.

    Raises:
      ValueError: they cannot; the message lists meta-solvers whose answers can.
    """
    found = properties_of(name)
    # Averages of two equilibria are equilibria in zero-sum games, and of correlated ones in all games.
    if zero_sum or found.concept is not Concept.NASH or found.domain is Domain.ANY:
        return
    fitting = [
        each
        for each in SOLVERS
        if properties_of(each).domain is Domain.ANY and properties_of(each).is_joint == found.is_joint
    ]
    raise ValueError(
        f"--symmetric needs a meta-solver that treats both players alike, and {name} may not in general-sum "
        f"games; use one of {', '.join(sorted(fitting))}."
    )


def solve_evenly(solve: SolveMetaGame) -> SolveMetaGame:
    """Returns a meta-solver whose answers are the same for both players, by the mean of both orders.

    Correlated equilibria of a symmetric game stay such, and so do Nash equilibria if it is zero-sum.

    Args:
      solve: a meta-solver, of symmetric payoffs `[2, n, n]`.
    """

    def solve_payoffs(payoffs: np.ndarray) -> MetaStrategy:
        return even_out(solve(payoffs))

    return solve_payoffs


def even_out(meta_strategy: MetaStrategy) -> MetaStrategy:
    """Returns the mean of a meta-strategy over two populations of the same size, and of its exchange."""
    strategy = require_weights(meta_strategy)
    if isinstance(strategy, JointStrategy):
        size = int(strategy.profiles.max()) + 1
        cells = cell_probabilities(strategy, (size, size))
        return joint_of_cells((cells + cells.T) / 2.0)
    first, second = strategy.marginals
    mean = (first + second) / 2.0
    return ProductStrategy((mean, mean))


def share(
    loop: Loop[Policy, np.ndarray], tree: GameTree, counterparts: np.ndarray
) -> Loop[Policy, np.ndarray]:
    """Returns a loop that asks for player 0's responses alone, and adds each to both populations.

    Args:
      loop: a loop whose meta-strategies are the same for both players, see `solve_evenly`.
      tree: the compiled game, a symmetric one.
      counterparts: `[I]`, see `acme_psro.games.symmetry.find_counterparts`.
    """

    def tasks(state: PSROState[Policy, np.ndarray]) -> list[Task]:
        return [task for task in loop.tasks(state) if task.player == 0]

    complete = functools.partial(complete_responses, tree, counterparts)
    return dataclasses.replace(loop, tasks=tasks, complete=complete)


def complete_responses(
    tree: GameTree, counterparts: np.ndarray, tasks: Sequence[Task], responses: Sequence[Response[Policy]]
) -> tuple[list[Task], list[Response[Policy]]]:
    """Returns player 0's tasks and responses, and after them the same of player 1, who did no work."""

    def moved(policy: Policy) -> Policy:
        return make_policy(tree, 1, exchange(tree, counterparts, 0, policy.table))

    others = [
        dataclasses.replace(
            response,
            policy=None if response.policy is None else moved(response.policy),
            others=tuple(moved(policy) for policy in response.others),
            counts=NO_WORK,
        )
        for response in responses
    ]
    theirs = [dataclasses.replace(task, player=1) for task in tasks]
    return [*tasks, *theirs], [*responses, *others]

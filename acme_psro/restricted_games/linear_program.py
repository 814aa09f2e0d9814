"""Equilibria of restricted two-player zero-sum games by linear programming in sequence form.

The program is equation 7 of von Stengel (1996, "Efficient computation of behavior strategies"). Player 1's
realisation plan y minimises the value of player 0's best response, which is `v` at the empty sequence:

    min  e' v    subject to    A y - E' v <= 0,    F y = f,    y >= 0,

`v` being player 0's values at its information states, `A` its payoffs, and `E x = e` and `F y = f` the
constraints on the plans of player 0 and player 1. The dual prices of the inequalities are player 0's plan.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import scipy.sparse

from acme_psro.games import sequence_form
from acme_psro.games.sequence_form import PlanConstraints
from acme_psro.games.tree import GameTree
from acme_psro.restricted_games.certificate import Solution, restricted_nash_conv
from acme_psro.restricted_games.game import check_allowed
from acme_psro.solvers.highs import LinearProgram, optima

METHOD = "linear program"


class _RestrictedGame(NamedTuple):
    """A restricted game in sequence form.

    Attributes:
      rows: constraints on the plans of player 0.
      columns: constraints on the plans of player 1.
      payoffs: `[n_0, n_1]` sparse, of player 0, the largest entry being 1 or -1.
    """

    rows: PlanConstraints
    columns: PlanConstraints
    payoffs: scipy.sparse.csr_matrix


def solve(
    tree: GameTree, allowed: np.ndarray, tolerance: float = 1e-9, max_seconds: float = 300.0
) -> Solution:
    """Returns an equilibrium of a restricted game.

    Args:
      tree: the compiled game, two-player and zero-sum.
      allowed: `[I, A]` bool, the actions of the restricted game, at least one at each information state.
      tolerance: the gap (see `Solution`) at which no further method is tried, in utility units.
      max_seconds: limit on the time of all methods together, which the last one may exceed by five seconds.

    Returns:
      The solution with the smallest gap of the methods tried, which may be greater than `tolerance`. At
      information states that a player does not reach under its plan, it plays its allowed actions with equal
      probability.

    Raises:
      ValueError: the game is not two-player zero-sum, or `allowed` is not a restricted game of it.
      RuntimeError: no method solved the program within the time.
    """
    if tree.num_players != 2 or not tree.zero_sum:
        raise ValueError(
            "the linear program is for two-player zero-sum games; solve this one by regret minimisation."
        )
    check_allowed(tree, allowed)
    start = time.monotonic()
    game = _restrict(tree, allowed)
    found = []
    for optimum in optima(_make_program(game), max_seconds):
        plan = np.zeros(tree.empty_sequence + 1)
        plan[game.rows.sequences] = optimum.prices
        plan[game.columns.sequences] = optimum.x[-len(game.columns.sequences) :]
        table = _behaviour(allowed, plan)
        gap = restricted_nash_conv(tree, allowed, table)
        found.append(Solution(table, gap, f"{METHOD}, {optimum.method}", time.monotonic() - start))
        if gap <= tolerance:
            break
    best = min(found, key=lambda solution: solution.gap)
    return best._replace(seconds=time.monotonic() - start)


def _restrict(tree: GameTree, allowed: np.ndarray) -> _RestrictedGame:
    # Only what both players' allowed actions lead to is part of the program.
    terminals = sequence_form.used_terminals(tree, sequence_form.own_reach(tree, allowed))
    used = sequence_form.used_sequences(tree, terminals)
    rows, columns = (sequence_form.plan_constraints(tree, player, used) for player in range(2))
    payoffs = sequence_form.payoff_matrix(tree, rows, columns, terminals=terminals)
    # Chance makes payoffs small in large games, while HiGHS's tolerances are absolute.
    largest = np.abs(payoffs.data).max(initial=0.0)
    return _RestrictedGame(rows, columns, payoffs / largest if largest else payoffs)


def _make_program(game: _RestrictedGame) -> LinearProgram:
    rows, columns, payoffs = game
    num_values, num_plans = rows.matrix.shape[0], columns.matrix.shape[1]
    no_values = scipy.sparse.csc_matrix((columns.matrix.shape[0], num_values))
    return LinearProgram(
        cost=np.concatenate([rows.right, np.zeros(num_plans)]),
        inequalities=scipy.sparse.hstack([-rows.matrix.T, payoffs], "csc"),
        equations=scipy.sparse.hstack([no_values, columns.matrix], "csc"),
        right=columns.right,
        lower=np.concatenate([np.full(num_values, -np.inf), np.zeros(num_plans)]),
    )


def _behaviour(allowed: np.ndarray, plan: np.ndarray) -> np.ndarray:
    """Returns the probabilities `[I, A]` of a plan `[S]`; equal ones at states that it does not reach."""
    weights = plan[:-1].reshape(allowed.shape) * allowed
    reach = weights.sum(axis=1, keepdims=True)
    equal = allowed / allowed.sum(axis=1, keepdims=True)
    return np.where(reach > 0, weights / np.where(reach > 0, reach, 1.0), equal)

"""Restricted games solved by counterfactual regret minimisation, for any number of players and any sums.

The method is discounted CFR (Brown & Sandholm 2019, "Solving imperfect-information games via discounted
regret minimization") with alternating updates and a small prediction: policies follow the accumulated regrets
plus a tenth of the last ones, as if these recurred in part. Predictive CFR+ (Farina, Kroer & Sandholm 2021,
"Faster game solving via predictive Blackwell approachability") adds the last regrets as a whole. To add a
part is more robust (Meng et al. 2026, "Faster game solving via asymmetry of step sizes"). The page on
restricted games in the documentation compares these methods.

Dimensions: `K` compact sequences of a player, see `acme_psro.restricted_games.compact`.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from acme_psro.games.tree import GameTree
from acme_psro.restricted_games.certificate import Solution, restricted_nash_conv
from acme_psro.restricted_games.compact import CompactGame, compact_game
from acme_psro.restricted_games.game import check_allowed

METHOD = "discounted predictive CFR"
# Discounts: in iteration t, positive regrets are multiplied by t^a / (t^a + 1) and negative ones by a half,
# and the policies have weight t^2 in the average.
_EXPONENT, _NEGATIVE, _AVERAGING = 1.5, 0.5, 2
_PREDICTION = 0.1
# The gap of the average is computed whenever there are this many times more iterations than the last time.
_CHECK_EVERY = 1.1
# In games without a guarantee, policies may circle forever. Iterations end when there are this many times as
# many of them as when the gap last fell by a tenth, but not before this number.
_PATIENCE, _LEAST_ITERATIONS, _FALL = 10, 1000, 0.9


class _State(NamedTuple):
    """State of the iterations. Each field holds one array for each player.

    Attributes:
      regrets: `[K - 1]`, accumulated and discounted.
      probabilities: `[K - 1]`, the current policy.
      plans: `[K]`, the plan of the current policy.
      totals: `[K]`, the weighted sum of the plans of all iterations.
    """

    regrets: tuple[np.ndarray, ...]
    probabilities: tuple[np.ndarray, ...]
    plans: tuple[np.ndarray, ...]
    totals: tuple[np.ndarray, ...]


def solve(
    tree: GameTree,
    allowed: np.ndarray,
    tolerance: float,
    *,
    initial: np.ndarray | None = None,
    max_seconds: float = 60.0,
    max_iterations: int = 1_000_000,
) -> Solution:
    """Returns policies for a restricted game, and the gap that they leave.

    Args:
      tree: the compiled game.
      allowed: `[I, A]` bool, the actions of the restricted game, at least one at each information state.
      tolerance: the gap that is small enough, in utility units.
      initial: `[I, A]` policies, such as an equilibrium of the game before more actions were allowed. They
        are returned if their gap is small enough, or if no iteration finds a smaller one. Regrets start at
        zero nevertheless, because regrets in proportion to these policies did not save iterations.
      max_seconds: limit on the time; there is one iteration in any case.
      max_iterations: limit on the number of iterations.

    Returns:
      The policies with the smallest gap that was found. It exceeds `tolerance` only after one of the limits,
      or if the gap no longer falls in a game without a guarantee.

    Raises:
      ValueError: `allowed` is not a restricted game of the tree, `initial` is not a table of its policies, or
        the tolerance or a limit is out of range.
    """
    start = time.monotonic()
    check_allowed(tree, allowed)
    _check_limits(tolerance, max_seconds, max_iterations)
    if initial is not None:
        _check_table(tree, initial)
    game = compact_game(tree, allowed)
    has_guarantee = tree.num_players == 2 and tree.zero_sum
    state = _start(game)
    best = state.plans if initial is None else game.plans(initial)
    gap = np.inf if initial is None else game.nash_conv(best)
    iteration, next_check, fell_at, is_last = 0, 1, 0, False
    while gap > tolerance and not is_last:
        iteration += 1
        state = _iterate(game, state, iteration)
        is_stuck = not has_guarantee and iteration >= max(_PATIENCE * fell_at, _LEAST_ITERATIONS)
        is_last = is_stuck or iteration >= max_iterations or time.monotonic() - start >= max_seconds
        if iteration < next_check and not is_last:
            continue
        next_check = max(iteration + 1, int(iteration * _CHECK_EVERY))
        average = _average(state)
        average_gap = game.nash_conv(average)
        if average_gap < _FALL * gap:
            fell_at = iteration
        if average_gap < gap:
            best, gap = average, average_gap
    table = game.table(best, allowed)
    return Solution(
        table=table,
        # Computed again without the compact form, so that the certificate does not depend on it.
        gap=restricted_nash_conv(tree, allowed, table),
        method=METHOD,
        seconds=time.monotonic() - start,
        iterations=iteration,
        has_guarantee=has_guarantee,
    )


def _start(game: CompactGame) -> _State:
    zeros = tuple(np.zeros(len(own.cells)) for own in game.players)
    # No regrets mean equal probabilities.
    uniform = tuple(own.probabilities(none) for own, none in zip(game.players, zeros, strict=True))
    plans = tuple(own.plan(each) for own, each in zip(game.players, uniform, strict=True))
    return _State(zeros, uniform, plans, tuple(np.zeros_like(plan) for plan in plans))


def _iterate(game: CompactGame, state: _State, iteration: int) -> _State:
    """Updates one player after the other, each against the newest policies of the others.

    Args:
      game: the restricted game.
      state: the state before.
      iteration: the number of this iteration, from 1.
    """
    regrets, probabilities = list(state.regrets), list(state.probabilities)
    plans, totals = list(state.plans), list(state.totals)
    kept = iteration**_EXPONENT / (iteration**_EXPONENT + 1)
    for player, own in enumerate(game.players):
        values = game.values(plans, player)
        earned = own.add_later_values(values, probabilities[player])
        regret = values[1:] - earned[own.owner]
        before = regrets[player]
        regrets[player] = np.where(before > 0, kept * before, _NEGATIVE * before) + regret
        weights = np.maximum(regrets[player] + _PREDICTION * regret, 0.0)
        probabilities[player] = own.probabilities(weights)
        plans[player] = own.plan(probabilities[player])
        totals[player] = totals[player] + iteration**_AVERAGING * plans[player]
    return _State(tuple(regrets), tuple(probabilities), tuple(plans), tuple(totals))


def _average(state: _State) -> tuple[np.ndarray, ...]:
    """Returns the plans `[K]` of the average policies; the empty sequence holds the sum of all weights."""
    return tuple(total / total[0] for total in state.totals)


def _check_limits(tolerance: float, max_seconds: float, max_iterations: int) -> None:
    """Checks when iterations end.

    Raises:
      ValueError: a limit is out of range.
    """
    # Written so that NaN is caught.
    if not tolerance > 0:
        raise ValueError(f"the tolerance must be positive, and is {tolerance}.")
    if not max_seconds >= 0:
        raise ValueError(f"the limit on seconds must not be negative, and is {max_seconds}.")
    if max_iterations < 1:
        raise ValueError(f"the limit on iterations must be at least 1, and is {max_iterations}.")


def _check_table(tree: GameTree, table: np.ndarray) -> None:
    """Checks initial policies.

    Raises:
      ValueError: the table has another shape, or probabilities that are negative or not finite.
    """
    if table.shape != tree.legal_actions.shape:
        raise ValueError(
            f"initial policies must have shape {tree.legal_actions.shape}, and have {table.shape}."
        )
    if not (np.isfinite(table).all() and table.min() >= 0):
        raise ValueError(
            "initial policies must consist of probabilities, and some are negative or not finite."
        )

"""Exact reach, expected returns and best responses on a `GameTree`, in float64.

Everything is done in sequence form (Koller, Megiddo & von Stengel 1996): a policy becomes a realisation
plan over sequences, of which the mixture of policies is a plain weighted sum, and a best response is a
dynamic programme over one player's information states. No walk over nodes is left, only over terminal
nodes, so that evaluating a mixture costs a fraction of a millisecond in Leduc poker. Plain NumPy: float64
without a switch, and nothing to compile.

Dimensions: `S = I * A + 1` sequences, the empty one last; others as in `tree.py`. A *table* is `[I, A]`
and holds one policy for every player, each in its own rows.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from acme_psro.games.tree import GameTree

# Values this close, relative to the largest return, differ by rounding alone.
_TIE = 1e-13


class BestResponse(NamedTuple):
    """A best response of one player.

    Attributes:
      value: the player's expected return when it plays it.
      table: `[I, A]` float64, one-hot in the player's rows, zero in the others'.
    """

    value: float
    table: np.ndarray


def realisation_plan(tree: GameTree, table: np.ndarray) -> np.ndarray:
    """`[S]`: the product of a player's own probabilities along each of its sequences."""
    actions = tree.num_actions
    plan = np.empty(tree.empty_sequence + 1)
    plan[-1] = 1.0
    for offsets in tree.level_offsets:
        for start, stop in itertools.pairwise(offsets):
            own = plan[tree.parent_sequence[start:stop]]
            plan[start * actions : stop * actions] = (own[:, None] * table[start:stop]).ravel()
    return plan


def behaviour(tree: GameTree, plan: np.ndarray) -> np.ndarray:
    """`[I, A]`: the policy whose realisation plan is given; uniform where the plan never goes.

    For a mixture of policies (a weighted sum of plans) this is the one policy that plays alike, by Kuhn's
    theorem.
    """
    rows = plan[:-1].reshape(tree.num_infosets, tree.num_actions)
    reach = rows.sum(axis=1, keepdims=True)
    return np.where(reach > 0, rows / np.where(reach > 0, reach, 1.0), tree.uniform_policy())


def expected_returns(tree: GameTree, plan: np.ndarray) -> np.ndarray:
    """`[P]`: every player's expected return when all play the plan."""
    return tree.terminal_returns @ np.prod(plan[tree.terminal_sequences], axis=0)


def best_response(
    tree: GameTree, plan: np.ndarray, player: int, otherwise: np.ndarray | None = None
) -> BestResponse:
    """The player's best response to the others' part of the plan.

    Args:
      otherwise: `[S]`, a second plan of the others. Among actions of equal value against the first plan,
        as all are where the others never let the player come, the best against the second is taken; then
        the first legal one.
    """
    actions = tree.num_actions
    plans = [plan] if otherwise is None else [plan, otherwise]
    values = np.stack([_sequence_values(tree, each, player) for each in plans])
    table = np.zeros((tree.num_infosets, actions))
    offsets = tree.level_offsets[player]
    tolerance = _TIE * tree.utility_scale
    for start, stop in zip(offsets[-2::-1], offsets[:0:-1], strict=True):
        rows = values[:, start * actions : stop * actions].reshape(len(plans), stop - start, actions)
        best = np.where(tree.legal_actions[start:stop], rows[0], -np.inf)
        if otherwise is not None:
            tied = best >= best.max(axis=1, keepdims=True) - tolerance
            best = np.where(tied, rows[1], -np.inf)
        infosets = np.arange(stop - start)
        choice = best.argmax(axis=1)
        table[start + infosets, choice] = 1.0
        for value, row in zip(values, rows, strict=True):
            np.add.at(value, tree.parent_sequence[start:stop], row[infosets, choice])
    return BestResponse(float(values[0, -1]), table)


def _sequence_values(tree: GameTree, plan: np.ndarray, player: int) -> np.ndarray:
    """`[S]`: what the player's sequences earn where the game ends right behind them."""
    others = np.ones(tree.terminal_sequences.shape[1])
    for other in range(tree.num_players):
        if other != player:
            others *= plan[tree.terminal_sequences[other]]
    return np.bincount(
        tree.terminal_sequences[player],
        weights=tree.terminal_returns[player] * others,
        minlength=tree.empty_sequence + 1,
    )


def gains(tree: GameTree, plan: np.ndarray) -> np.ndarray:
    """`[P]`: what each player gains over the plan by a best response; their sum is NashConv."""
    best = [best_response(tree, plan, player).value for player in range(tree.num_players)]
    return np.array(best) - expected_returns(tree, plan)


def nash_conv(tree: GameTree, table: np.ndarray) -> float:
    """NashConv of a policy table, in the game's utility units."""
    return float(gains(tree, realisation_plan(tree, table)).sum())

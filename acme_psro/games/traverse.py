"""Exact expected returns, best responses and NashConv on a `GameTree`, in float64.

All computations use the sequence form (Koller, Megiddo & von Stengel 1996). A policy is represented by a
realisation plan over sequences. The plan of a mixture of policies is the weighted sum of their plans, and a
best response is computed by dynamic programming over the information states of one player. None of this
visits inner nodes, only terminal ones, so evaluating a mixture takes a fraction of a millisecond in Leduc
poker. The code is plain NumPy because JAX would need a global switch for float64 and would have to compile
each function.

Dimensions: `S = I * A + 1` sequences, of which the empty one is the last; the others are those of `tree.py`.
A *table* is `[I, A]` and holds one policy for each player, in the rows of its own information states.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from acme_psro.games.compiled import check_table
from acme_psro.games.tree import GameTree

# Values whose difference is smaller than this, relative to the largest return, are considered equal.
_TIE = 1e-13


class BestResponse(NamedTuple):
    """A best response of one player.

    Attributes:
      value: the player's expected return if it plays the response.
      table: `[I, A]` float64, one-hot in the player's rows and zero in all others.
    """

    value: float
    table: np.ndarray


def realisation_plan(tree: GameTree, table: np.ndarray) -> np.ndarray:
    """Computes the realisation plan of a policy table.

    Returns:
      `[S]` float64, for each sequence the product of its own player's probabilities along it.
    """
    actions = tree.num_actions
    plan = np.empty(tree.empty_sequence + 1)
    plan[-1] = 1.0
    # Level by level, because a sequence extends one of an earlier level of the same player.
    for offsets in tree.level_offsets:
        for start, stop in itertools.pairwise(offsets):
            own = plan[tree.parent_sequence[start:stop]]
            plan[start * actions : stop * actions] = (own[:, None] * table[start:stop]).ravel()
    return plan


def behaviour(tree: GameTree, plan: np.ndarray) -> np.ndarray:
    """Computes the behaviour policy of a realisation plan.

    For a mixture of policies (a weighted sum of plans), this policy is realisation-equivalent to the mixture,
    by Kuhn's theorem. It is uniform in information states that its own player never reaches under the plan.

    Args:
      tree: the game.
      plan: `[S]` realisation plan of all players.

    Returns:
      `[I, A]` float64 probabilities.
    """
    rows = plan[:-1].reshape(tree.num_infosets, tree.num_actions)
    reach = rows.sum(axis=1, keepdims=True)
    # The inner `where` avoids a division by zero in rows whose quotient is not used.
    return np.where(reach > 0, rows / np.where(reach > 0, reach, 1.0), tree.uniform_policy())


def expected_returns(tree: GameTree, plan: np.ndarray) -> np.ndarray:
    """Computes each player's expected return `[P]` if all play the plan `[S]`."""
    return tree.terminal_returns @ np.prod(plan[tree.terminal_sequences], axis=0)


def best_response(
    tree: GameTree, plan: np.ndarray, player: int, otherwise: np.ndarray | None = None
) -> BestResponse:
    """Computes a best response of one player to the other players.

    Args:
      tree: the game.
      plan: `[S]` realisation plan of all players. The player's own part is not used.
      player: the player who responds.
      otherwise: `[S]`, a second realisation plan, see `best_response_to`.
    """
    others = others_reach(tree, plan, player)
    return best_response_to(tree, others, player, otherwise)


def best_response_to(
    tree: GameTree, others: np.ndarray, player: int, otherwise: np.ndarray | None = None
) -> BestResponse:
    """Computes a best response of one player to the other players, who may be correlated.

    Args:
      tree: the game.
      others: `[T]`, the others' contribution to the probability of reaching each terminal node.
      player: the player who responds.
      otherwise: `[S]`, a realisation plan. Among actions of equal value against the others, the response
        takes the best one against this plan. All actions have equal value if the others never let the player
        reach the information state. The first legal action decides any remaining ties.
    """
    actions = tree.num_actions
    reached = [others] if otherwise is None else [others, others_reach(tree, otherwise, player)]
    values = np.stack([sequence_values(tree, each, player) for each in reached])
    table = np.zeros((tree.num_infosets, actions))
    offsets = tree.level_offsets[player]
    tolerance = _TIE * tree.utility_scale
    # From the last level to the first, so that the values of later decisions are complete when they are used.
    for start, stop in zip(offsets[-2::-1], offsets[:0:-1], strict=True):
        rows = values[:, start * actions : stop * actions].reshape(len(reached), stop - start, actions)
        best = np.where(tree.legal_actions[start:stop], rows[0], -np.inf)
        if otherwise is not None:
            tied = best >= best.max(axis=1, keepdims=True) - tolerance
            best = np.where(tied, rows[1], -np.inf)
        infosets = np.arange(stop - start)
        choice = best.argmax(axis=1)
        table[start + infosets, choice] = 1.0
        # Several information states may follow one sequence. `add.at` adds all of them, `+=` only one.
        for value, row in zip(values, rows, strict=True):
            np.add.at(value, tree.parent_sequence[start:stop], row[infosets, choice])
    return BestResponse(float(values[0, -1]), table)


def best_values(tree: GameTree, others: np.ndarray, player: int) -> np.ndarray:
    """Computes the expected returns `[B]` of a player's best responses, without their policies.

    Args:
      tree: the game.
      others: `[B, T]`, the others' contributions to the probability of reaching each terminal node.
      player: the player who responds.
    """
    actions = tree.num_actions
    values = np.stack([sequence_values(tree, each, player) for each in others])
    offsets = tree.level_offsets[player]
    for start, stop in zip(offsets[-2::-1], offsets[:0:-1], strict=True):
        rows = values[:, start * actions : stop * actions].reshape(len(others), stop - start, actions)
        best = np.where(tree.legal_actions[start:stop], rows, -np.inf).max(axis=2)
        for value, row in zip(values, best, strict=True):
            np.add.at(value, tree.parent_sequence[start:stop], row)
    final: np.ndarray = values[:, -1]
    return final


def others_reach(tree: GameTree, plan: np.ndarray, player: int) -> np.ndarray:
    """Computes the others' contribution `[T]` to the probability of reaching each terminal node."""
    others = np.ones(tree.terminal_sequences.shape[1])
    for other in range(tree.num_players):
        if other != player:
            others *= plan[tree.terminal_sequences[other]]
    return others


def sequence_values(tree: GameTree, others: np.ndarray, player: int) -> np.ndarray:
    """Computes the returns `[S]` at terminal nodes, summed by the player's last sequence.

    Each return is weighted by the probability with which chance and the other players reach the node.

    Args:
      tree: the game.
      others: `[T]`, the others' part of these probabilities, see `others_reach`.
      player: the player.
    """
    return np.bincount(
        tree.terminal_sequences[player],
        weights=tree.terminal_returns[player] * others,
        minlength=tree.empty_sequence + 1,
    )


def gains(tree: GameTree, plan: np.ndarray) -> np.ndarray:
    """Computes the gain `[P]` of each player who deviates to a best response. The sum is NashConv."""
    best = [best_response(tree, plan, player).value for player in range(tree.num_players)]
    return np.array(best) - expected_returns(tree, plan)


def nash_conv(tree: GameTree, table: np.ndarray) -> float:
    """Computes the NashConv of a policy table `[I, A]`, in the game's utility units.

    Raises:
      ValueError: the table has another shape, or a row that is no distribution over legal actions.
    """
    check_table(tree, table, "information state")
    return float(gains(tree, realisation_plan(tree, table)).sum())

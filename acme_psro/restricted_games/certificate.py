"""Solutions of restricted games, and the certificate that shows how exact they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree


class Solution(NamedTuple):
    """Policies for a restricted game.

    Attributes:
      table: `[I, A]` float64, one policy for each player over its allowed actions.
      gap: the certificate: NashConv inside the restricted game, in utility units. It is the sum of what the
        players gain by their best responses among allowed actions.
      method: name of the method that found it.
      seconds: time that it took.
      iterations: number of iterations, if the method counts them.
      has_guarantee: True if the method makes the gap as small as asked for, given time. In games with more
        than two players or general sums it need not become small: nothing but `gap` is known of the policies.
    """

    table: np.ndarray
    gap: float
    method: str
    seconds: float
    iterations: int = 0
    has_guarantee: bool = True


def best_response_value(tree: GameTree, allowed: np.ndarray, plan: np.ndarray, player: int) -> float:
    """Computes a player's expected return if it responds to a plan with its best allowed actions.

    Args:
      tree: the compiled game.
      allowed: `[I, A]` bool.
      plan: `[S]` realisation plan of all players. The player's own part is not used.
      player: the player who responds.
    """
    actions = tree.num_actions
    values = traverse.sequence_values(tree, traverse.others_reach(tree, plan, player), player)
    offsets = tree.level_offsets[player]
    # From the last level to the first, as in `traverse.best_response`.
    for start, stop in zip(offsets[-2::-1], offsets[:0:-1], strict=True):
        rows = values[start * actions : stop * actions].reshape(stop - start, actions)
        best = np.where(allowed[start:stop], rows, -np.inf).max(axis=1)
        np.add.at(values, tree.parent_sequence[start:stop], best)
    return float(values[-1])


def restricted_nash_conv(tree: GameTree, allowed: np.ndarray, table: np.ndarray) -> float:
    """Computes NashConv of a policy table `[I, A]` inside a restricted game, in utility units.

    Rounding may make it negative by as much as a few units in the last place.
    """
    plan = traverse.realisation_plan(tree, table)
    best = [best_response_value(tree, allowed, plan, player) for player in range(tree.num_players)]
    return float((np.array(best) - traverse.expected_returns(tree, plan)).sum())

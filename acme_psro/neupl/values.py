"""Exact values of members against the mixtures that they learn to exploit.

Dimensions: `P` = 2 players, `N` members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.policies.tabular import Population, combine


class Values(NamedTuple):
    """Expected returns against each member's mixture, in utility units; 0 for the sinks.

    Attributes:
      own: `[P, N]`, of the member itself.
      before: `[P, N]`, of the best one of the members before it.
      best: `[P, N]`, of an exact best response.
    """

    own: np.ndarray
    before: np.ndarray
    best: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """Returns `[P, N]`: how much less members earn than exact best responses; never below 0."""
        return np.maximum(self.best - self.own, 0.0)

    @property
    def relative_gain(self) -> np.ndarray:
        """Returns `[P, N]`: the share of an exact response's gain over earlier members; 1 if it has none."""
        possible = self.best - self.before
        share = (self.own - self.before) / np.where(possible > 1e-9, possible, 1.0)
        return np.where(possible > 1e-9, share, 1.0)


def member_values(
    tree: GameTree, populations: Sequence[Population], graph: np.ndarray, payoffs: np.ndarray
) -> Values:
    """Returns the values of all members in a two-player game.

    Args:
      tree: the compiled game.
      populations: `N` members of each player.
      graph: `[P, N, N]`, the mixtures.
      payoffs: `[P, N, N]`, of all pairs of members.
    """
    # Row i: what each of the player's members earns against the mixture of its member i.
    earned = np.stack([graph[0] @ payoffs[0].T, graph[1] @ payoffs[1]])
    num = graph.shape[1]
    own = np.diagonal(earned, axis1=1, axis2=2).copy()
    earlier = np.where(np.tri(num, k=-1, dtype=bool), earned, -np.inf)
    earlier[:, 0, 0] = 0.0
    best = np.zeros((2, num))
    for player in range(2):
        plans = np.stack([policy.plan for policy in populations[1 - player]])
        mine = populations[player][0].plan
        for member in range(1, num):
            theirs = graph[player, member] @ plans
            both = (mine, theirs) if player == 0 else (theirs, mine)
            best[player, member] = traverse.best_response(tree, combine(tree, both), player).value
    return Values(own, earlier.max(axis=2), best)

"""Values of members against the mixtures that they learn to exploit, exact or by estimated payoffs.

Dimensions: `P` = 2 players, `N` members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.policies.tabular import Population, combine


class Values(NamedTuple):
    """Expected returns against each member's mixture, in utility units; 0 for the sinks.

    Attributes:
      own: `[P, N]`, of the member itself.
      before: `[P, N]`, of the best one of the members before it.
      best: `[P, N]`, of an exact best response; NaN if the game is not compiled.
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


class Assessment(NamedTuple):
    """Exact figures of the members of both players, in utility units.

    Attributes:
      payoffs: `[P, N, N]`, of all pairs of members.
      values: against each member's mixture.
    """

    payoffs: np.ndarray
    values: Values


def assess(tree: GameTree, populations: Sequence[Population], graph: np.ndarray) -> Assessment:
    """Returns the exact figures of `N` members of each player, whose mixtures are `graph` `[P, N, N]`."""
    payoffs = exact_payoffs(tree, populations)
    return Assessment(payoffs, member_values(tree, populations, graph, payoffs))


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
    num = graph.shape[1]
    best = np.zeros((2, num))
    for player in range(2):
        plans = np.stack([policy.plan for policy in populations[1 - player]])
        mine = populations[player][0].plan
        for member in range(1, num):
            theirs = graph[player, member] @ plans
            both = (mine, theirs) if player == 0 else (theirs, mine)
            best[player, member] = traverse.best_response(tree, combine(tree, both), player).value
    return estimated_values(graph, payoffs)._replace(best=best)


def estimated_values(graph: np.ndarray, payoffs: np.ndarray) -> Values:
    """Returns what payoffs alone tell of all members' values; those of best responses are unknown.

    Args:
      graph: `[P, N, N]`, the mixtures.
      payoffs: `[P, N, N]`, of all pairs of members, in utility units.
    """
    # Row i: what each of the player's members earns against the mixture of its member i.
    earned = np.stack([graph[0] @ payoffs[0].T, graph[1] @ payoffs[1]])
    num = graph.shape[1]
    own = np.diagonal(earned, axis1=1, axis2=2).copy()
    earlier = np.where(np.tri(num, k=-1, dtype=bool), earned, -np.inf)
    earlier[:, 0, 0] = 0.0
    best = np.full((2, num), np.nan)
    best[:, 0] = 0.0
    return Values(own, earlier.max(axis=2), best)

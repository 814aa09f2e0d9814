"""Simplex-NeuPL: how well the network exploits any mixture of the members.

Liu et al. 2022, "Simplex neural population learning", arXiv:2205.15879.

Dimensions: `P` = 2 players, `N` members, `M` mixtures; others as in `acme_psro.games.tree`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.policies.tabular import Population, combine, make_policy, replace


class Exploitation(NamedTuple):
    """Returns of policies against the mixtures that they are conditioned on, in utility units.

    Attributes:
      gap: `[P, M]`, how much less the policies earn than exact best responses.
      gain: `[P, M]`, what exact best responses gain over the player's own members, mixed in the same way.
    """

    gap: np.ndarray
    gain: np.ndarray

    @property
    def relative_gap(self) -> float:
        """Returns the mean gap divided by the mean gain; 0 if there is nothing to gain."""
        return float(self.gap.mean() / self.gain.mean()) if self.gain.mean() > 0 else 0.0


def draw_mixtures(rng: np.random.Generator, num: int, members: int) -> np.ndarray:
    """Returns `[num, members]` float32: mixtures drawn evenly from the simplex."""
    return rng.dirichlet(np.ones(members), num).astype(np.float32)


def exploit(
    tree: GameTree, populations: tuple[Population, ...], mixtures: np.ndarray, tables: np.ndarray
) -> Exploitation:
    """Evaluates the policies of both players against mixtures of the other player's members.

    Args:
      tree: the compiled game.
      populations: `N` members of each player.
      mixtures: `[M, N]`.
      tables: `[M, I, A]`, the policies that are conditioned on the mixtures, for all players.
    """
    plans = [np.stack([policy.plan for policy in own]) for own in populations]
    gap, gain = np.zeros((2, len(mixtures))), np.zeros((2, len(mixtures)))
    for index, mixture in enumerate(mixtures):
        weights = mixture / mixture.sum(dtype=np.float64)
        both = combine(tree, [weights @ own for own in plans])
        present = traverse.expected_returns(tree, both)
        for player in range(2):
            rows = tree.infosets_of(player)
            table = np.asarray(tables[index, rows], np.float64)
            policy = make_policy(tree, player, table / table.sum(axis=1, keepdims=True))
            own = traverse.expected_returns(tree, replace(tree, both, player, policy))[player]
            best = traverse.best_response(tree, both, player).value
            gap[player, index] = best - own
            gain[player, index] = best - present[player]
    return Exploitation(gap, gain)

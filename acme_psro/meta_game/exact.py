"""Exact payoffs: expected returns of profiles of policies, summed over every end of a compiled game."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acme_psro.games.tree import GameTree
from acme_psro.meta_game.payoffs import empty_payoffs, extend_payoffs, missing_boxes
from acme_psro.policies.tabular import Policy, Population, terminal_reach, uniform_policy


class ExactMetaGame:
    """The meta-game of tables on a compiled game; see `acme_psro.meta_game.base.MetaGame`.

    Args:
      tree: the compiled game.
      first: the players' first policies; None for uniform ones.
    """

    def __init__(self, tree: GameTree, first: tuple[Policy, ...] | None = None) -> None:
        self._tree, self._first = tree, first

    def first(self) -> tuple[Policy, ...]:
        """Returns the policies that populations begin with."""
        if self._first is not None:
            return self._first
        return tuple(uniform_policy(self._tree, player) for player in range(self._tree.num_players))

    def extend(self, populations: Sequence[Population], known: np.ndarray | None) -> np.ndarray:
        """Returns the payoff tensor `[P, n_1, .., n_P]`; only cells that `known` lacks are computed."""
        return exact_payoffs(self._tree, populations, known)

    def tensor(self, payoffs: np.ndarray) -> np.ndarray:
        """Returns the payoffs themselves."""
        return payoffs


def exact_payoffs(
    tree: GameTree, populations: Sequence[Population], known: np.ndarray | None = None
) -> np.ndarray:
    """Returns the payoff tensor `[P, n_1, .., n_P]` of the populations, its new cells computed exactly.

    Args:
      tree: the compiled game.
      populations: one a player.
      known: the tensor of smaller populations, without missing cells; None: nothing is known.
    """
    known = empty_payoffs(len(populations)) if known is None else known
    sizes = [len(population) for population in populations]
    filled = extend_payoffs(known, sizes)
    # Player p's payoff is the sum over terminal nodes z of chance(z) * returns[p, z] * prod_q reach_q(z). The
    # product factorises over players, so reaches are computed once for each policy, not for each profile.
    reaches = [terminal_reach(tree, p, population) for p, population in enumerate(populations)]
    for box in missing_boxes(known.shape[1:], sizes):
        parts = [reach[part] for reach, part in zip(reaches, box, strict=True)]
        cells = (slice(None), *box)
        filled[cells] = _payoffs_of(tree.terminal_returns, parts)
    return filled


def _payoffs_of(returns: np.ndarray, reaches: Sequence[np.ndarray]) -> np.ndarray:
    """Returns `[P, n_1, .., n_P]` from chance-weighted returns `[P, T]` and reaches `[n_q, T]`.

    The longest axis goes into one matrix product, which is the fastest thing NumPy does; the other axes,
    which are short after a population has grown by one, are looped over.
    """
    longest = max(range(len(reaches)), key=lambda player: len(reaches[player]))

    def contract(weighted: np.ndarray, player: int) -> np.ndarray:
        if player == len(reaches):
            return weighted @ reaches[longest].T
        if player == longest:
            return contract(weighted, player + 1)
        return np.stack([contract(weighted * row, player + 1) for row in reaches[player]], axis=1)

    # The matrix product put the longest axis last.
    return np.moveaxis(contract(returns, 0), -1, 1 + longest)

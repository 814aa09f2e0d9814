"""A game that is compiled to a tree, as the oracle of members uses it.

Dimensions: as in `acme_psro.neupl.base`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acme_psro.games.tree import GameTree
from acme_psro.neupl import members, simplex, sinks, values
from acme_psro.policies.tabular import Population


class TreeMembers:
    """Members on a tree, see `acme_psro.neupl.base.MemberGame`: gains of exact best responses are known.

    Args:
      tree: the compiled game, two-player and zero-sum.
    """

    def __init__(self, tree: GameTree) -> None:
        self._tree = tree

    @property
    def compiled(self) -> GameTree:
        """The tree."""
        return self._tree

    def find_shared(self, sink: np.ndarray) -> np.ndarray | None:
        """Returns `[I]`: player 0's counterpart of each information state; None if members are not shared."""
        return sinks.find_shared(self._tree, sink)

    def make_populations(self, tables: np.ndarray) -> tuple[Population, ...]:
        """Returns one population a player from policies `[N, I, A]` for all players."""
        return members.make_populations(self._tree, tables)

    def assess(self, populations: Sequence[Population], graph: np.ndarray) -> values.Assessment:
        """Returns the exact figures of members whose mixtures are `graph` `[P, N, N]`."""
        return values.assess(self._tree, populations, graph)

    def exploit(
        self, populations: tuple[Population, ...], mixtures: np.ndarray, tables: np.ndarray
    ) -> simplex.Exploitation:
        """Evaluates policies `[M, I, A]` that are conditioned on mixtures `[M, N]` exactly."""
        return simplex.exploit(self._tree, populations, mixtures, tables)

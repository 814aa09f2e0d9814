"""Interface of a compiled game for oracles that train members: `TreeMembers` and `GraphMembers`.

Dimensions: `P` = 2 players, `N` members, `M` mixtures, `R` rows of a policy table over all players (see
`acme_psro.games.compiled`), `A` actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from acme_psro.games.graph import GameGraph
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.base import PolicyT
from acme_psro.neupl.simplex import Exploitation
from acme_psro.neupl.values import Assessment


class MemberGame(Protocol[PolicyT]):
    """A compiled two-player zero-sum game whose policies are those of a run."""

    @property
    def compiled(self) -> GameTree | GameGraph:
        """The game."""

    def find_shared(self, sink: np.ndarray) -> np.ndarray | None:
        """Returns `[R]`: player 0's counterpart of each row; None if players share no members.

        Args:
          sink: `[R, A]`, the sinks of both players.
        """

    def make_populations(self, tables: np.ndarray) -> tuple[tuple[PolicyT, ...], ...]:
        """Returns one population a player from policies `[N, R, A]` for all players."""

    def assess(self, populations: Sequence[tuple[PolicyT, ...]], graph: np.ndarray) -> Assessment:
        """Returns the exact figures of members whose mixtures are `graph` `[P, N, N]`, as far as known."""

    def exploit(
        self, populations: tuple[tuple[PolicyT, ...], ...], mixtures: np.ndarray, tables: np.ndarray
    ) -> Exploitation | None:
        """Evaluates policies that are conditioned on mixtures; None if exact responses would take too long.

        Args:
          populations: the members of both players.
          mixtures: `[M, N]`.
          tables: `[M, R, A]`, the policies.
        """

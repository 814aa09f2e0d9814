"""The common interface of compiled games, trees and graphs, for learners and policies.

Dimensions: `R` rows of a policy table over all players (a tree's information states, or what the movers of a
graph observe), `A` actions, `D` numbers in an observation.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np


class CompiledGame(Protocol):
    """A game as arrays, a `GameTree` or a `GameGraph`.

    A policy is a table `[R, A]`, whose rows are ordered by player.
    """

    @property
    def game_string(self) -> str:
        """The game's name, see `acme_psro.games.identity`."""

    @property
    def num_players(self) -> int:
        """The number of players."""

    @property
    def num_actions(self) -> int:
        """The number of different actions, `A`."""

    @property
    def num_rows(self) -> int:
        """The rows of a policy table, `R`."""

    @property
    def legal_actions(self) -> np.ndarray:
        """`[R, A]` bool."""

    @property
    def info_state(self) -> np.ndarray:
        """`[R, D]` float32, what a network sees."""

    @property
    def utility_scale(self) -> float:
        """Largest absolute return of any player, or 1 if the game pays nothing."""

    @property
    def digest(self) -> str:
        """A digest of all arrays: the identity of the compiled game, whatever its name is."""

    def rows_of(self, player: int) -> slice:
        """Returns the slice of `R` that holds the player's rows."""

    def uniform_policy(self) -> np.ndarray:
        """Returns the policy that plays all legal actions with equal probability, `[R, A]` float64."""

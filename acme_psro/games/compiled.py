"""The common interface of compiled games, trees and graphs, for learners and policies, and its tables' check.

Dimensions: `R` rows of a policy table over all players (a tree's information states, or what the movers of a
graph observe), `A` actions, `D` numbers in an observation.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

# Largest difference between a row's sum and 1 that is explained by rounding.
_ROUNDING = 1e-6


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
    def keys(self) -> tuple[str, ...]:
        """`[R]` names of the rows."""

    @property
    def info_state(self) -> np.ndarray:
        """`[R, D]` float32, what a network sees."""

    @property
    def utility_scale(self) -> float:
        """Largest absolute return of any player, or 1 if the game pays nothing."""

    @property
    def most_decisions(self) -> int:
        """The largest number of decisions of one player in a game."""

    @property
    def digest(self) -> str:
        """A digest of all arrays: the identity of the compiled game, whatever its name is."""

    def rows_of(self, player: int) -> slice:
        """Returns the slice of `R` that holds the player's rows."""

    def uniform_policy(self) -> np.ndarray:
        """Returns the policy that plays all legal actions with equal probability, `[R, A]` float64."""


def check_table(compiled: CompiledGame, table: np.ndarray, row_is: str, player: int | None = None) -> None:
    """Checks that a table `[R, A]` holds a policy of a player, or of each player.

    Args:
      compiled: the game.
      table: the probabilities.
      row_is: a word for what has a row, such as "information state".
      player: the player whose rows count; None for all.

    Raises:
      ValueError: the table has another shape, or a row that is no distribution over legal actions.
    """
    if table.shape != compiled.legal_actions.shape:
        raise ValueError(
            f"the policy table has shape {table.shape}, not {compiled.legal_actions.shape}: give one row for "
            f"each {row_is} and one column for each action."
        )
    rows = slice(None) if player is None else compiled.rows_of(player)
    legal, probabilities = compiled.legal_actions[rows], table[rows]
    # Written so that NaN is caught.
    sums_to_one = np.abs(probabilities @ np.ones(probabilities.shape[1]) - 1) <= _ROUNDING
    if sums_to_one.all() and probabilities.min(initial=0.0) >= 0 and not probabilities[~legal].any():
        return
    good = sums_to_one & (np.where(legal, probabilities, -np.abs(probabilities)) >= 0).all(axis=1)
    row = int(good.argmin()) + (rows.start or 0)
    raise ValueError(
        f"row {row} of the policy table, for the {row_is} {compiled.keys[row]!r}, is "
        f"{table[row].tolist()}: give probabilities of legal actions that add up to 1."
    )

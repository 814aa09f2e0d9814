"""Base of the adders for many games that are stepped together: episodes, and one Reverb writer for all games.

Dimensions: `E` games.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, NamedTuple

import agents.acme_layer.compat  # noqa: F401

# isort: split

import numpy as np
import reverb
import tree

from agents.acme_layer.cell_writer import CellWriter
from agents.acme_layer.replay import ReplayConfig

_TERMINAL_DISCOUNT, _DISCOUNT = np.float32(0.0), np.float32(1.0)
Leaves = Sequence[np.ndarray]


class Decision(NamedTuple):
    """An action, its reward, the environment's discount and the action's extras."""

    action: Any
    reward: np.float32
    discount: np.float32
    extras: Any


class BatchAdder(abc.ABC):
    """Writes the experience of `E` games, each of which begins its next episode as soon as one ends.

    Args:
      client: client of the Reverb server.
      replay: configuration of replay.
      num_games: number of games, `E`.
      nothing: observation at the end of an episode, a tree of arrays without an axis of games.
    """

    def __init__(self, client: reverb.Client, replay: ReplayConfig, num_games: int, nothing: Any) -> None:
        self._client = client
        self._table = replay.table_name
        self._num_games = num_games
        self._nothing = [np.asarray(leaf) for leaf in tree.flatten(nothing)]
        # The number of items from two steps. Reverb's rate limiter does not see items that are still in the
        # writer, so that a longer queue would let the actors run ahead of the learner.
        self._max_pending = max(2, 2 * num_games // replay.sequence_length)
        self._writer: CellWriter | None = None

    def add_first(self, observation: Any) -> None:
        """Begins an episode in all games. Unfinished episodes get no further items.

        Args:
          observation: the first observations, a tree of arrays `[E, ..]`.
        """
        if self._writer is None:
            self._writer = self._open()
        for game, seen in enumerate(_rows_of(observation)):
            self._begin(self._writer, game, seen)

    def add(
        self, action: np.ndarray, observation: Any, reward: np.ndarray, last: np.ndarray, extras: Any = ()
    ) -> None:
        """Adds one decision of each game and its results.

        Waits if the table accepts no items because its readers are behind.

        Args:
          action: actions, `[E, ..]`.
          observation: observations after the actions, arrays `[E, ..]`. For games in which `last` is True,
            the first observation of the next episode. The arrays are kept for a while and must not be
            overwritten.
          reward: rewards of the actions, `[E]` float32.
          last: `[E]` bool, True if the episode ended. The discount is 0 for these games and 1 for others.
          extras: extras of the decisions, a mapping from names to arrays `[E]`.

        Raises:
          ValueError: `add_first` was not called before, or a sequence's `extras` have no `log_prob`.
        """
        writer = self._writer
        if writer is None:
            raise ValueError("add_first must be called before add.")
        for game, (seen, is_last) in enumerate(zip(_rows_of(observation), last.tolist(), strict=True)):
            own_extras = {name: values[game] for name, values in extras.items()} if extras else extras
            discount = _TERMINAL_DISCOUNT if is_last else _DISCOUNT
            decision = Decision(action[game], reward[game], discount, own_extras)
            self._add(writer, game, decision, self._nothing if is_last else seen)
            if is_last:
                self._end(writer, game)
                self._begin(writer, game, seen)
        writer.wait(self._max_pending)

    def close(self) -> None:
        """Sends pending items, but gives up after a short time if the table does not accept them.

        The next call of `add_first` opens a new writer.
        """
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    @abc.abstractmethod
    def _open(self) -> CellWriter:
        """Opens a writer whose columns and buffers suit this adder's items."""

    @abc.abstractmethod
    def _begin(self, writer: CellWriter, game: int, seen: Leaves) -> None:
        """Begins an episode of one game with its first observation."""

    @abc.abstractmethod
    def _add(self, writer: CellWriter, game: int, decision: Decision, seen: Leaves) -> None:
        """Adds a decision of one game and the observation after it."""

    @abc.abstractmethod
    def _end(self, writer: CellWriter, game: int) -> None:
        """Ends the episode of one game, after its last decision was added."""


def _rows_of(observation: Any) -> list[Leaves]:
    """Splits a tree of arrays `[E, ..]` into the leaves of each game."""
    return list(zip(*tree.flatten(observation), strict=True))

"""Adders for the experience of many games that are stepped together, with one Reverb writer for all games.

The items are equal, byte for byte, to those of `agents.acme_layer.replay.make_adder` with one adder per game.
Acme's adders are slower for many games: each game needs a writer with its own connection and threads, each
step traverses trees of names three times, and each end of an episode waits for the server.

Dimensions: `E` games.
"""

from __future__ import annotations

import collections
from typing import Any, NamedTuple

import agents.acme_layer.compat  # noqa: F401

# isort: split

import numpy as np
import reverb
import tree
from acme.adders import reverb as reverb_adders

from agents.acme_layer.batch_adder import BatchAdder, Decision, Leaves
from agents.acme_layer.cell_writer import Cell, CellWriter
from agents.acme_layer.replay import ReplayConfig, mark_decision

# Neighbouring cells of a column are compressed and sent together. If one of them is sampled, the whole chunk
# is sent to the learner, so that long chunks would slow sampling down.
_MAX_CHUNK_LENGTH = 4
# A column more than needed costs nothing: `drawn` is the only extra that is not in every sequence.
_MOST_EXTRAS = 1


class _Return(NamedTuple):
    """Discounted sum of the rewards of one or more decisions, and the discount of the value after them."""

    reward: np.float32
    discount: np.float32


class _Start(NamedTuple):
    """Cells of the beginning of a transition: its observation and action, and the extras of the action."""

    cells: list[Cell]
    extras: list[Cell]


class NStepBatchAdder(BatchAdder):
    """Writes n-step transitions, as `agents.acme_layer.replay.make_adder` does with one adder per game.

    Args:
      client: client of the Reverb server.
      replay: configuration of replay.
      num_games: number of games, `E`.
      nothing: observation at the end of an episode, a tree of arrays without an axis of games.
      discount: the agent's discount. As in Acme, the discount of a transition contains it one time less
        than the transition has steps.
    """

    def __init__(
        self, client: reverb.Client, replay: ReplayConfig, num_games: int, nothing: Any, discount: float
    ) -> None:
        super().__init__(client, replay, num_games, nothing)
        self._discount = np.float32(discount)
        self._n_step, self._longest_only = replay.n_step, replay.queue
        # For the last `n_step` decisions of each game: the cells of the observation, the action and the
        # extras, and the reward and discount. Cells are references, so that an observation is sent only once
        # although it appears in several transitions.
        self._starts = [collections.deque[_Start](maxlen=replay.n_step) for _ in range(num_games)]
        self._returns = [collections.deque[_Return](maxlen=replay.n_step) for _ in range(num_games)]
        self._now: list[list[Cell]] = [[] for _ in range(num_games)]

    def _open(self) -> CellWriter:
        # Items refer to observations from `n_step` steps ago. In one step, each game appends two observations
        # at most: the end of an episode and the beginning of the next.
        keep = 2 * (self._n_step + 1) * self._num_games
        chunk_length = min(_MAX_CHUNK_LENGTH, self._num_games)
        return CellWriter(
            self._client, self._table, len(self._nothing) + 3 + _MOST_EXTRAS, keep, chunk_length
        )

    def _begin(self, writer: CellWriter, game: int, seen: Leaves) -> None:
        self._starts[game].clear()
        self._returns[game].clear()
        self._now[game] = writer.append([*seen, None, None, None])[:-3]

    def _add(self, writer: CellWriter, game: int, decision: Decision, seen: Leaves) -> None:
        starts, returns = self._starts[game], self._returns[game]
        returns.append(_Return(decision.reward, decision.discount))
        extras = tree.flatten(decision.extras) if decision.extras else []
        row = [*seen, decision.action, *self._sum(returns), *extras]
        cells = writer.append(row)
        then, (action, reward, discount, *extras) = cells[: len(seen)], cells[len(seen) :]
        starts.append(_Start([*self._now[game], action], extras))
        self._now[game] = then
        # At the beginning of an episode `starts` is not full yet, and transitions have fewer than n steps.
        if self._is_written(starts):
            _write_transition(writer, starts[0], [reward, discount, *then])

    def _end(self, writer: CellWriter, game: int) -> None:
        # Every decision starts a transition. Those of the last n - 1 decisions end with the episode, and only
        # their rewards and discounts are new: the observations and actions are in the writer already.
        starts, returns, then = self._starts[game], self._returns[game], self._now[game]
        skips = self._is_written(starts)
        while starts:
            if not skips:
                *_, reward, discount = writer.append([None] * len(starts[0].cells) + [*self._sum(returns)])
                _write_transition(writer, starts[0], [reward, discount, *then])
            skips = False
            starts.popleft()
            returns.popleft()

    def _is_written(self, starts: collections.deque[_Start]) -> bool:
        """Returns True if the transition from the oldest start to the newest observation is written at once.

        In a queue, a transition that could still become longer waits for the next decision.
        """
        return not self._longest_only or len(starts) == self._n_step

    def _sum(self, returns: collections.deque[_Return]) -> _Return:
        """Computes the return of consecutive decisions."""
        reward, discount = returns[0]
        for index in range(1, len(returns)):
            # Products and sums are in the same order as in Acme: rounding depends on it.
            discount = discount * self._discount
            reward = reward + returns[index].reward * discount
            discount = discount * returns[index].discount
        return _Return(reward, discount)


def _write_transition(writer: CellWriter, start: _Start, result: list[Cell]) -> None:
    """Writes a transition as an item: reward, discount and next observation are its `result`."""
    writer.create([[cell] for cell in (*start.cells, *result, *start.extras)])


class SequenceBatchAdder(BatchAdder):
    """Writes sequences, as `agents.acme_layer.replay.SequenceAdder` does.

    The `extras` of decisions need a `log_prob`. Rows are kept here until their sequence is complete and are
    then written together, so that each sequence is one chunk, with no rows of other games.
    """

    def __init__(self, client: reverb.Client, replay: ReplayConfig, num_games: int, nothing: Any) -> None:
        super().__init__(client, replay, num_games, nothing)
        self._num_rows = replay.sequence_length + 1
        self._rows: list[list[list[Any]]] = [[] for _ in range(num_games)]
        self._now: list[Leaves] = [() for _ in range(num_games)]
        self._is_start = [True] * num_games

    def _open(self) -> CellWriter:
        # Beside the observation's leaves: action, reward, discount, start of episode, and the extras.
        columns = len(self._nothing) + 4 + len(mark_decision({"log_prob": 0.0})) + _MOST_EXTRAS
        return CellWriter(self._client, self._table, columns, self._num_rows, self._num_rows)

    def _begin(self, writer: CellWriter, game: int, seen: Leaves) -> None:
        self._rows[game] = []
        self._now[game], self._is_start[game] = seen, True

    def _add(self, writer: CellWriter, game: int, decision: Decision, seen: Leaves) -> None:
        action, reward, discount, extras = decision
        start = np.bool_(self._is_start[game])
        step = reverb_adders.Step(self._now[game], action, reward, discount, start, mark_decision(extras))
        self._rows[game].append(tree.flatten(step))
        self._now[game], self._is_start[game] = seen, False
        if len(self._rows[game]) == self._num_rows:
            self._write(writer, game)

    def _end(self, writer: CellWriter, game: int) -> None:
        rows, seen = self._rows[game], self._now[game]
        # The last observation is real, but no action was taken in it, and later rows are padding altogether.
        padding = [np.zeros_like(leaf) for leaf in rows[-1]]
        rows.append([*seen, *padding[len(seen) :]])
        rows += [padding] * (self._num_rows - len(rows))
        self._write(writer, game)

    def _write(self, writer: CellWriter, game: int) -> None:
        """Writes a game's rows as one item and keeps the last row as the first one of the next item."""
        rows = self._rows[game]
        writer.create([list(column) for column in zip(*map(writer.append, rows), strict=True)])
        del rows[:-1]


def make_batch_adder(
    replay: ReplayConfig, client: reverb.Client, discount: float, num_games: int, nothing: Any
) -> BatchAdder:
    """Makes an adder for many games, which writes n-step transitions or sequences.

    Args:
      replay: configuration of replay.
      client: client of the Reverb server.
      discount: the agent's discount, with which the rewards of an n-step transition are summed.
      num_games: number of games that are stepped together.
      nothing: observation at the end of an episode, a tree of arrays without an axis of games.
    """
    if replay.sequence_length > 1:
        return SequenceBatchAdder(client, replay, num_games, nothing)
    return NStepBatchAdder(client, replay, num_games, nothing, discount)

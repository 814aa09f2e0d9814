"""Writes the experience of many games that are stepped side by side, all of them by one writer of Reverb.

Items are, byte for byte, those that `agents.acme_layer.replay.make_adder` writes of each game by itself.
Acme's adders take a writer, with a connection and threads of its own, for each game; they walk trees of
names three times a step, and wait for the server at each episode's end.

Dimensions: `E` games.
"""

from __future__ import annotations

import abc
import collections
import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import agents.acme_layer.compat  # noqa: F401

# isort: split

import numpy as np
import reverb
import tree
from acme.adders import reverb as reverb_adders
from reverb import pybind

from agents.acme_layer.replay import ReplayConfig, mark_decision

# Neighbours in a column are compressed and sent together, and drawn together when one of them is.
_MAX_CHUNK_LENGTH = 4
# As long as Acme waits for a server that has yet to start.
_START_MILLISECONDS = 300_000
# Only between two waits can a thread be told to stop.
_WAIT_MILLISECONDS = 500
_CLOSE_MILLISECONDS = 2000

_NOTHING_MORE, _ALL = np.float32(0.0), np.float32(1.0)
# A number or array that the writer holds; Reverb's `WeakCellRef`.
_Cell = Any
_Leaves = Sequence[np.ndarray]
# Reward and discount.
_Gain = tuple[np.float32, np.float32]


class _Decision(NamedTuple):
    """An action, and what it brought."""

    action: Any
    reward: np.float32
    discount: np.float32
    extras: Any


class BatchAdder(abc.ABC):
    """Writes the experience of `E` games, each of which begins its next episode when one ends.

    Args:
      client: of the server.
      replay: how experience is kept.
      num_games: `E`.
      nothing: what is observed at the end of an episode, a tree of arrays without an axis of games.
    """

    def __init__(self, client: reverb.Client, replay: ReplayConfig, num_games: int, nothing: Any) -> None:
        self._client = client
        self._table = replay.table_name
        self._num_games = num_games
        self._nothing = [np.asarray(leaf) for leaf in tree.flatten(nothing)]
        # As many as come of two steps; the learner's pace, which Reverb keeps, must not be outrun.
        self._max_pending = max(2, 2 * num_games // replay.sequence_length)
        self._writer: _Writer | None = None

    def add_first(self, observation: Any) -> None:
        """All games begin an episode; what a game had not finished is left as it is.

        Args:
          observation: the first ones, a tree of arrays `[E, ..]`.
        """
        if self._writer is None:
            self._writer = self._open()
        for game, seen in enumerate(_rows_of(observation)):
            self._begin(self._writer, game, seen)

    def add(
        self, action: np.ndarray, observation: Any, reward: np.ndarray, last: np.ndarray, extras: Any = ()
    ) -> None:
        """Adds a decision of each game and what came of it; waits where the table is ahead of its readers.

        Args:
          action: `[E, ..]`.
          observation: arrays `[E, ..]` of what follows: where `last`, of the next episode. They are kept for
            a while and must not be overwritten.
          reward: `[E]` float32.
          last: `[E]` bool, whether an episode ended. There and only there the discount is 0.
          extras: of each decision, a mapping to arrays `[E]`.

        Raises:
          ValueError: `add_first` was not called before.
        """
        writer = self._writer
        if writer is None:
            raise ValueError("add_first must be called before add.")
        for game, (seen, is_last) in enumerate(zip(_rows_of(observation), last.tolist(), strict=True)):
            told = {name: values[game] for name, values in extras.items()} if extras else extras
            decision = _Decision(action[game], reward[game], _NOTHING_MORE if is_last else _ALL, told)
            self._add(writer, game, decision, self._nothing if is_last else seen)
            if is_last:
                self._end(writer, game)
                self._begin(writer, game, seen)
        writer.wait(self._max_pending)

    def close(self) -> None:
        """Sends what is still to be sent, but does not wait long for somebody to take it."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    @abc.abstractmethod
    def _open(self) -> _Writer:
        """A writer for items of this kind."""

    @abc.abstractmethod
    def _begin(self, writer: _Writer, game: int, seen: _Leaves) -> None:
        """A game begins an episode where this is seen."""

    @abc.abstractmethod
    def _add(self, writer: _Writer, game: int, decision: _Decision, seen: _Leaves) -> None:
        """A game goes on from a decision to where this is seen."""

    @abc.abstractmethod
    def _end(self, writer: _Writer, game: int) -> None:
        """A game's episode has ended with the decision that was added last."""


class NStepBatchAdder(BatchAdder):
    """Writes n-step transitions, as Acme's `NStepTransitionAdder` does.

    Args:
      client: see `BatchAdder`, as for all others.
      discount: of the agent; a transition's discount lacks one factor of it.
    """

    def __init__(
        self, client: reverb.Client, replay: ReplayConfig, num_games: int, nothing: Any, discount: float
    ) -> None:
        super().__init__(client, replay, num_games, nothing)
        self._discount = np.float32(discount)
        self._n_step = replay.n_step
        # Of the last `n_step` decisions of each game: cells of what was seen and done, and what that brought.
        self._starts = [collections.deque[list[_Cell]](maxlen=replay.n_step) for _ in range(num_games)]
        self._gains = [collections.deque[_Gain](maxlen=replay.n_step) for _ in range(num_games)]
        self._now: list[list[_Cell]] = [[] for _ in range(num_games)]

    def _open(self) -> _Writer:
        # Items refer to what was seen `n_step` steps ago. In a step each game shows two observations at most.
        keep = 2 * (self._n_step + 1) * self._num_games
        chunk_length = min(_MAX_CHUNK_LENGTH, self._num_games)
        return _Writer(self._client, self._table, len(self._nothing) + 3, keep, chunk_length)

    def _begin(self, writer: _Writer, game: int, seen: _Leaves) -> None:
        self._starts[game].clear()
        self._gains[game].clear()
        self._now[game] = writer.append([*seen, None, None, None])[:-3]

    def _add(self, writer: _Writer, game: int, decision: _Decision, seen: _Leaves) -> None:
        starts, gains = self._starts[game], self._gains[game]
        gains.append((decision.reward, decision.discount))
        *then, action, reward, discount = writer.append([*seen, decision.action, *self._sum(gains)])
        starts.append([*self._now[game], action])
        writer.create([[cell] for cell in (*starts[0], reward, discount, *then)])
        self._now[game] = then

    def _end(self, writer: _Writer, game: int) -> None:
        starts, gains, then = self._starts[game], self._gains[game], self._now[game]
        while len(starts) > 1:
            starts.popleft()
            gains.popleft()
            *_, reward, discount = writer.append([None] * len(starts[0]) + [*self._sum(gains)])
            writer.create([[cell] for cell in (*starts[0], reward, discount, *then)])

    def _sum(self, gains: collections.deque[_Gain]) -> _Gain:
        """Reward and discount of several decisions, in the order in which Acme multiplies and adds."""
        reward, discount = gains[0]
        for index in range(1, len(gains)):
            discount = discount * self._discount
            reward = reward + gains[index][0] * discount
            discount = discount * gains[index][1]
        return reward, discount


class SequenceBatchAdder(BatchAdder):
    """Writes sequences, as `agents.acme_layer.replay.SequenceAdder` does. Its `extras` need a `log_prob`.

    A sequence is written at once, when it is complete, so that it is compressed by itself.
    """

    def __init__(self, client: reverb.Client, replay: ReplayConfig, num_games: int, nothing: Any) -> None:
        super().__init__(client, replay, num_games, nothing)
        self._num_rows = replay.sequence_length + 1
        self._rows: list[list[list[Any]]] = [[] for _ in range(num_games)]
        self._now: list[_Leaves] = [() for _ in range(num_games)]
        self._is_start = [True] * num_games

    def _open(self) -> _Writer:
        columns = len(self._nothing) + 4 + len(mark_decision({"log_prob": 0.0}))
        return _Writer(self._client, self._table, columns, self._num_rows, self._num_rows)

    def _begin(self, writer: _Writer, game: int, seen: _Leaves) -> None:
        self._rows[game] = []
        self._now[game], self._is_start[game] = seen, True

    def _add(self, writer: _Writer, game: int, decision: _Decision, seen: _Leaves) -> None:
        action, reward, discount, told = decision
        start = np.bool_(self._is_start[game])
        step = reverb_adders.Step(self._now[game], action, reward, discount, start, mark_decision(told))
        self._rows[game].append(tree.flatten(step))
        self._now[game], self._is_start[game] = seen, False
        if len(self._rows[game]) == self._num_rows:
            self._write(writer, game)

    def _end(self, writer: _Writer, game: int) -> None:
        rows, seen = self._rows[game], self._now[game]
        padding = [np.zeros_like(leaf) for leaf in rows[-1]]
        rows.append([*seen, *padding[len(seen) :]])
        rows += [padding] * (self._num_rows - len(rows))
        self._write(writer, game)

    def _write(self, writer: _Writer, game: int) -> None:
        """Makes an item of a game's rows; the last of them is the first of the next one."""
        rows = self._rows[game]
        writer.create([list(column) for column in zip(*map(writer.append, rows), strict=True)])
        del rows[:-1]


def make_batch_adder(
    replay: ReplayConfig, client: reverb.Client, discount: float, num_games: int, nothing: Any
) -> BatchAdder:
    """Writes n-step transitions, whose rewards are summed up with `discount`, or sequences.

    Args:
      replay: how experience is kept.
      client: of the server.
      discount: of the agent.
      num_games: that are stepped side by side.
      nothing: what is observed at the end of an episode.
    """
    if replay.sequence_length > 1:
        return SequenceBatchAdder(client, replay, num_games, nothing)
    return NStepBatchAdder(client, replay, num_games, nothing, discount)


class _Writer:
    """A writer of rows of cells, and of items that are made of any cells among each column's newest.

    Args:
      client: of the server, which is waited for.
      table: where items go.
      columns: cells in a row, some of which may be missing.
      keep: how many of the newest cells of each column items may be made of.
      chunk_length: cells of a column that are sent together.
    """

    def __init__(self, client: reverb.Client, table: str, columns: int, keep: int, chunk_length: int) -> None:
        self._table = table
        self._writer = client.trajectory_writer(keep, get_signature_timeout_ms=_START_MILLISECONDS)
        # Its own `append` and `create_item` look up every cell by the path of its name, which takes five
        # times as long as what they do then. What lies under them takes and gives flat rows.
        self._under = self._writer._writer
        chunks = pybind.ConstantChunkerOptions(chunk_length, keep)
        for column in range(columns):
            self._under.ConfigureChunker(column, chunks)

    def append(self, row: list[Any]) -> list[_Cell]:
        """Adds a row of arrays, None where there is none, and returns its cells."""
        return self._under.Append(row)

    def create(self, columns: list[list[_Cell]]) -> None:
        """Makes an item of as many cells in each column; single ones have no axis of time."""
        self._under.CreateItem(self._table, 1.0, columns, [len(columns[0]) == 1] * len(columns))

    def wait(self, pending: int) -> None:
        """Until no more than so many items are still to be sent or taken by the table."""
        while True:
            with contextlib.suppress(reverb.DeadlineExceededError):
                return self._writer.flush(pending, timeout_ms=_WAIT_MILLISECONDS)

    def close(self) -> None:
        """Sends what is left, as long as that takes no longer than a moment."""
        with contextlib.suppress(reverb.DeadlineExceededError):
            self._writer.flush(0, timeout_ms=_CLOSE_MILLISECONDS)
        self._writer.close()


def _rows_of(observation: Any) -> list[_Leaves]:
    """Of a tree of arrays `[E, ..]`, for each game its leaves."""
    return list(zip(*tree.flatten(observation), strict=True))

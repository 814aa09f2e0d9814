"""Replay in the memory of one process, for agents that alternate between acting and learning.

There is no server and no serialisation. Reverb is made for many writers and readers. With one of each in the
same thread, an array needs a hundredth of the time, and equal seeds give equal samples.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any, NamedTuple

import agents.acme_layer.compat  # noqa: F401

# isort: split

import dm_env
import numpy as np
import reverb
import tree
from acme import adders, types
from acme.adders import reverb as reverb_adders

from agents.acme_layer.replay import mark_decision
from agents.ring import Ring


class LocalReplay(Ring):
    """A ring buffer of the newest transitions or sequences, see `agents.ring.Ring`, as a learner's data."""

    def samples(self, size: int) -> Iterator[reverb.ReplaySample]:
        """Returns an endless iterator over samples of `size` items, in the form that learners take."""
        while True:
            yield reverb.ReplaySample(info=None, data=self.sample(size))


class LocalQueue:
    """A queue of transitions or sequences, each of which is handed over once, the oldest first."""

    def __init__(self) -> None:
        self._items: collections.deque[Any] = collections.deque()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Any) -> None:
        """Stores a copy of one item, a tree of arrays without a batch axis."""
        self._items.append(tree.map_structure(np.array, item))

    def take(self, size: int) -> Any:
        """Removes the `size` oldest items and returns them as one tree of arrays `[size, ..]`.

        Raises:
          ValueError: fewer items wait.
        """
        if len(self) < size:
            raise ValueError(f"a queue of {len(self)} items cannot hand over {size}: add more first.")
        items = [self._items.popleft() for _ in range(size)]
        return tree.map_structure(lambda *leaves: np.stack(leaves), *items)

    def samples(self, size: int) -> Iterator[reverb.ReplaySample]:
        """Returns an endless iterator over samples of `size` items, in the form that learners take."""
        while True:
            yield reverb.ReplaySample(info=None, data=self.take(size))


class _Step(NamedTuple):
    """An observation, the action that was taken, its reward, the environment's discount, and the extras."""

    observation: Any
    action: Any
    reward: np.float32
    discount: np.float32
    extras: Any


class LocalAdder(adders.Adder):
    """Adds n-step transitions to a replay, the same ones as Acme's `NStepTransitionAdder`.

    Transitions are shorter at both ends of an episode. Those that start at the first observation grow from 1
    step to n steps, and those that end at the last observation shrink to 1 step.

    Args:
      replay: the replay that stores the transitions.
      n_step: number of steps in a transition, at least 1.
      discount: the agent's discount. As in Acme, the discount of a transition contains it one time less
        than the transition has steps.
      longest_only: if True, only the longest transition from each decision is added, as by
        `agents.acme_layer.replay.LongestTransitionAdder`, so that each decision begins exactly one.
    """

    def __init__(
        self, replay: LocalReplay | LocalQueue, n_step: int, discount: float, longest_only: bool = False
    ) -> None:
        self._replay, self._longest_only = replay, longest_only
        self._discount = np.float32(discount)
        self._steps: collections.deque[_Step] = collections.deque(maxlen=n_step)
        self._observation: Any = None

    def reset(self) -> None:
        self._steps.clear()

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        self._steps.clear()
        self._observation = timestep.observation

    def add(self, action: Any, next_timestep: dm_env.TimeStep, extras: Any = ()) -> None:
        reward, discount = next_timestep.reward, next_timestep.discount
        # As in Acme, a transition keeps the extras of its first action, and no extras are an empty tuple.
        step = _Step(self._observation, action, np.float32(reward), np.float32(discount), extras or ())
        self._steps.append(step)
        self._observation = next_timestep.observation
        if not self._longest_only or len(self._steps) == self._steps.maxlen or next_timestep.last():
            self._write()
        if next_timestep.last():
            # Every decision starts a transition; those of the last n - 1 decisions end with the episode.
            while len(self._steps) > 1:
                self._steps.popleft()
                self._write()

    def _write(self) -> None:
        """Adds the transition from the oldest kept step to the newest observation."""
        first = self._steps[0]
        reward, discount = first.reward, first.discount
        for step in list(self._steps)[1:]:
            # The agent's discount is left out of the last factor, because its update applies it once more.
            discount *= self._discount
            reward += discount * step.reward
            discount *= step.discount
        self._replay.add(
            types.Transition(
                first.observation, first.action, reward, discount, self._observation, first.extras
            )
        )


class LocalSequenceAdder(adders.Adder):
    """Adds sequences to a replay, the same ones as `agents.acme_layer.replay.SequenceAdder`.

    Args:
      replay: the replay that stores the sequences.
      sequence_length: number of decisions in a sequence, `T`. A sequence has `T + 1` rows. Its last row is
        the first row of the next sequence, the last observation of the episode, or padding.
    """

    def __init__(self, replay: LocalReplay | LocalQueue, sequence_length: int) -> None:
        self._replay = replay
        self._num_rows = sequence_length + 1
        self._rows: list[reverb_adders.Step] = []
        self._observation: Any = None
        self._is_start = False

    def reset(self) -> None:
        self._rows = []

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        self._rows = []
        self._observation = timestep.observation
        self._is_start = True

    def add(self, action: Any, next_timestep: dm_env.TimeStep, extras: Any = ()) -> None:
        row = reverb_adders.Step(
            observation=self._observation,
            action=action,
            reward=np.float32(next_timestep.reward),
            discount=np.float32(next_timestep.discount),
            start_of_episode=np.bool_(self._is_start),
            extras=mark_decision(extras),
        )
        self._rows.append(row)
        self._observation = next_timestep.observation
        self._is_start = False
        if len(self._rows) == self._num_rows:
            self._write()
        if next_timestep.last():
            # The last observation is real, but no action was taken in it: all its other fields are zeros.
            padding = tree.map_structure(np.zeros_like, row)
            self._rows.append(padding._replace(observation=self._observation))
            self._rows += [padding] * (self._num_rows - len(self._rows))
            self._write()

    def _write(self) -> None:
        """Adds the kept rows as one sequence and keeps the last row as the first one of the next sequence."""
        self._replay.add(tree.map_structure(lambda *leaves: np.stack(leaves), *self._rows))
        self._rows = self._rows[-1:]

"""Replay inside the process, for agents that act and learn by turns: no server, no serialisation.

Reverb is made for many writers and readers; where there is one of each in the same thread, an array does the
same for a hundredth of the time, and draws the same samples for the same seed.
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


class LocalReplay:
    """The newest items, transitions or sequences, drawn uniformly with replacement.

    Args:
      max_size: items to keep; memory is taken as they come.
      seed: of what is drawn.
    """

    def __init__(self, max_size: int, seed: int) -> None:
        self._max_size = max_size
        self._rng = np.random.default_rng(seed)
        self._columns: Any = None
        self._added = 0

    def __len__(self) -> int:
        return min(self._added, self._max_size)

    def add(self, item: Any) -> None:
        """Keeps one item, a tree of arrays without a batch axis; all must be alike."""
        if self._columns is None:
            self._columns = tree.map_structure(self._allocate, item)
        row = self._added % self._max_size
        for column, value in zip(tree.flatten(self._columns), tree.flatten(item), strict=True):
            column[row] = value
        self._added += 1

    def sample(self, size: int) -> Any:
        """`size` items `[size, ..]`.

        Raises:
          ValueError: nothing was added yet.
        """
        if not self._added:
            raise ValueError("an empty replay has nothing to draw: add transitions first.")
        rows = self._rng.integers(len(self), size=size)
        return tree.map_structure(lambda column: column[rows], self._columns)

    def samples(self, size: int) -> Iterator[reverb.ReplaySample]:
        """Samples without end, as a learner takes them."""
        while True:
            yield reverb.ReplaySample(info=None, data=self.sample(size))

    def _allocate(self, value: Any) -> np.ndarray:
        value = np.asarray(value)
        return np.empty((self._max_size, *value.shape), value.dtype)


class _Step(NamedTuple):
    """An observation, the action taken there, and what it brought."""

    observation: Any
    action: Any
    reward: np.float32
    discount: np.float32


class LocalAdder(adders.Adder):
    """Adds n-step transitions, the same as Acme's `NStepTransitionAdder`.

    Transitions are shorter at both ends of an episode: those that start at its first observation grow to n
    steps, and those that end at its last one shrink.

    Args:
      replay: where they go.
      n_step: steps in a transition, at least 1.
      discount: of the agent; as in Acme, a transition's discount lacks one factor of it.
    """

    def __init__(self, replay: LocalReplay, n_step: int, discount: float) -> None:
        self._replay = replay
        self._discount = np.float32(discount)
        self._steps: collections.deque[_Step] = collections.deque(maxlen=n_step)
        self._observation: Any = None

    def reset(self) -> None:
        self._steps.clear()

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        self._steps.clear()
        self._observation = timestep.observation

    def add(self, action: Any, next_timestep: dm_env.TimeStep, extras: Any = ()) -> None:
        del extras
        reward, discount = next_timestep.reward, next_timestep.discount
        step = _Step(self._observation, action, np.float32(reward), np.float32(discount))
        self._steps.append(step)
        self._observation = next_timestep.observation
        self._write()
        if next_timestep.last():
            while len(self._steps) > 1:
                self._steps.popleft()
                self._write()

    def _write(self) -> None:
        first = self._steps[0]
        reward, discount = first.reward, first.discount
        for step in list(self._steps)[1:]:
            discount *= self._discount
            reward += discount * step.reward
            discount *= step.discount
        self._replay.add(
            types.Transition(first.observation, first.action, reward, discount, self._observation, ())
        )


class LocalSequenceAdder(adders.Adder):
    """Adds sequences, the same as `agents.acme_layer.replay.SequenceAdder`.

    Args:
      replay: where they go.
      sequence_length: decisions in a sequence, `T`; each has `T + 1` rows, the last of them the first of
        what follows, or the episode's last observation, or padding.
    """

    def __init__(self, replay: LocalReplay, sequence_length: int) -> None:
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
            padding = tree.map_structure(np.zeros_like, row)
            self._rows.append(padding._replace(observation=self._observation))
            self._rows += [padding] * (self._num_rows - len(self._rows))
            self._write()

    def _write(self) -> None:
        self._replay.add(tree.map_structure(lambda *leaves: np.stack(leaves), *self._rows))
        self._rows = self._rows[-1:]

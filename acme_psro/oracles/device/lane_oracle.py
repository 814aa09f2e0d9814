"""The common part of oracles whose work is lanes of one compiled program, see `acme_psro.oracles.asking`."""

from __future__ import annotations

import abc
from collections.abc import Generator, Sequence
from typing import Any, Generic

import numpy as np

from acme_psro.meta_game.base import PolicyT
from acme_psro.oracles.asking import Program, Results, answer
from acme_psro.oracles.base import BestResponseTask, Response
from acme_psro.oracles.device.lanes import Lane, make_program
from acme_psro.oracles.device.lanes_alone import LanesAlone


class LaneOracle(abc.ABC, Generic[PolicyT]):
    """An oracle that asks for lanes; called alone, it answers itself by a program of its own.

    Attributes:
      carries: True if lanes carry large states from one call to the next, see `LaneProgram`.
      lanes_alone: True if each lane is a call of its own, see `DeviceConfig.lanes_alone`.
    """

    carries: bool = False
    lanes_alone: bool = False
    _program: Program | None = None

    @abc.abstractmethod
    def train_lane(self, lane: Lane) -> Any:
        """Returns one lane's results, nested arrays. It is pure, to be vmapped and jitted."""

    @abc.abstractmethod
    def ask(
        self, key: np.ndarray, tasks: Sequence[BestResponseTask[PolicyT, np.ndarray]]
    ) -> Generator[Lane, Results, list[Response[PolicyT]]]:
        """Returns a generator of the tasks' responses, which leaves the training of lanes to its caller.

        It yields lanes, always as many, and is sent what the program returns for them, see
        `acme_psro.oracles.asking`.
        """

    def __call__(
        self, key: np.ndarray, tasks: Sequence[BestResponseTask[PolicyT, np.ndarray]]
    ) -> list[Response[PolicyT]]:
        if self._program is None:
            self._program = self.make_program()
        return answer(self.ask(key, tasks), self._program)

    def make_program(self, runs: int = 1, devices: Sequence[int] | None = None) -> Program:
        """Returns the program that trains lanes of this oracle, and of others with the same settings.

        Args:
          runs: the number of runs that share the program.
          devices: numbers of local devices, over which lanes are spread; None for all.

        Raises:
          ValueError: there is no such device.
        """
        if self.lanes_alone:
            return LanesAlone(make_program(self.train_lane, 1, devices, self.carries), runs)
        return make_program(self.train_lane, runs, devices, self.carries)

"""Interface of population runs: the parts of a run that depend on whether payoffs are exact or sampled."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Generic

import numpy as np

from acme_psro.meta_game.base import MetaGame, PayoffsT, PolicyT
from acme_psro.oracles.base import Oracle
from acme_psro.policies.meta_strategy import MetaStrategy
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.metrics import Row
from acme_psro.psro.loop import PSROState
from acme_psro.solvers import get_solver
from acme_psro.storage.checkpoint import Format, Record
from acme_psro.system.supervision import JobError


class PopulationRun(abc.ABC, Generic[PolicyT, PayoffsT]):
    """A population run, whichever way its payoffs are known.

    Attributes:
      config: the run's configuration, with every choice made.
      form: the format of its checkpoints.
      meta_game: knows its payoffs.
      oracle: finds best responses.
      failures: exceptions that may end the run through no fault of its own; their messages are one line for
        the user.
    """

    config: PSROConfig
    form: Format[PolicyT, PayoffsT]
    meta_game: MetaGame[PolicyT, PayoffsT]
    oracle: Oracle[PolicyT, PayoffsT]
    failures: tuple[type[Exception], ...] = (JobError,)

    def close(self) -> None:
        """Ends the processes that the run started."""

    def solve(self, payoffs: np.ndarray) -> MetaStrategy:
        """Returns the meta-solver's answer to a payoff tensor `[P, n_1, .., n_P]`."""
        return get_solver(self.config.meta_solver)(payoffs)

    @abc.abstractmethod
    def describe(self) -> str:
        """Returns one line on the game."""

    @abc.abstractmethod
    def converged(self, state: PSROState[PolicyT, PayoffsT]) -> bool:
        """Returns True if it is known that no player can gain."""

    @abc.abstractmethod
    def add_row(
        self, before: Sequence[Row], state: PSROState[PolicyT, PayoffsT], seconds: float
    ) -> list[Row]:
        """Returns the rows of metrics with one more, and what the responses reveal about the one before it.

        Args:
          before: the rows so far.
          state: the state after an iteration.
          seconds: the iteration's duration.
        """

    def conclude(self, record: Record[PolicyT, PayoffsT]) -> Record[PolicyT, PayoffsT]:
        """Returns the record of a run that is over, with results that are only computed at the end."""
        return record

    @abc.abstractmethod
    def tidy(self, iteration: int) -> None:
        """Removes files of an iteration (from 1) that are not needed once its record is written."""

    @abc.abstractmethod
    def outcome(self, record: Record[PolicyT, PayoffsT]) -> str:
        """Returns the reason why the run ended."""

    @abc.abstractmethod
    def summary(self, record: Record[PolicyT, PayoffsT]) -> str:
        """Returns the reason why the run ended, and the exploitability of its mixture."""

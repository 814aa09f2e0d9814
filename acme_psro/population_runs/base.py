"""What of a run depends on how its payoffs come about."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np

from acme_psro.oracles.base import Oracle
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.metrics import Row
from acme_psro.psro.loop import PSROState
from acme_psro.storage.checkpoint import Format, Record
from acme_psro.system.supervision import JobError


class PopulationRun(abc.ABC):
    """A population run, whichever way its payoffs are known.

    Attributes:
      config: of the run, with nothing left open.
      form: of its checkpoints.
      oracle: what finds best responses.
      failures: what the run may fail by for no fault of its own; their messages are one line for the user.
    """

    config: PSROConfig
    form: Format
    oracle: Oracle
    failures: tuple[type[Exception], ...] = (JobError,)

    def close(self) -> None:
        """Ends what was begun."""

    @abc.abstractmethod
    def describe(self) -> str:
        """One line on the game."""

    @abc.abstractmethod
    def begin(self) -> PSROState:
        """The state before the first iteration."""

    @abc.abstractmethod
    def fill(self, populations: Sequence[tuple[Any, ...]], known: Any) -> Any:
        """The payoffs of populations, see `acme_psro.psro.loop.FillPayoffs`."""

    @abc.abstractmethod
    def solve(self, payoffs: Any) -> ProductStrategy:
        """The meta-solver's answer to them."""

    @abc.abstractmethod
    def converged(self, state: PSROState) -> bool:
        """Whether it is known that nobody can gain."""

    @abc.abstractmethod
    def add_row(self, before: Sequence[Row], state: PSROState, seconds: float) -> list[Row]:
        """The rows with one for the state, and what its responses say of the one before it.

        Args:
          before: the rows so far.
          state: after an iteration.
          seconds: that it took.
        """

    def conclude(self, record: Record) -> Record:
        """The record of a run that is over, with what only then is found out; the same where nothing is."""
        return record

    @abc.abstractmethod
    def tidy(self, iteration: int) -> None:
        """Removes what nobody needs any more of an iteration, from 1, whose record is written."""

    @abc.abstractmethod
    def outcome(self, record: Record) -> str:
        """Why the run ended."""

    @abc.abstractmethod
    def summary(self, record: Record) -> str:
        """Why the run ended, and how exploitable its mixture is."""

    @abc.abstractmethod
    def tensor(self, state: PSROState) -> np.ndarray:
        """The payoff tensor `[P, n_1, .., n_P]`."""

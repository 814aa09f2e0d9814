"""Interface of population runs, with one implementation for exact payoffs and two for sampled ones."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Generic

from acme_psro.games.graph import GameGraph
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.base import MetaGame, PayoffsT, PolicyT
from acme_psro.oracles.asking import Program, RemoteProgram
from acme_psro.oracles.base import Oracle
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.metrics import Row
from acme_psro.psro.loop import Loop, PSROState
from acme_psro.storage.record import Format, Record
from acme_psro.system.executors.pool_workers import WorkersLostError
from acme_psro.system.jobs import JobError


def count_iterations(number: int) -> str:
    """Returns a number of iterations in words, such as "1 iteration"."""
    return f"{number} iteration{'' if number == 1 else 's'}"


class PopulationRun(abc.ABC, Generic[PolicyT, PayoffsT]):
    """A population run with exact or sampled payoffs.

    Attributes:
      config: the run's configuration; `payoffs` is "exact" or "sampled" in it, no longer "auto".
      form: the format of the run's checkpoints.
      meta_game: the meta-game, which computes or estimates payoffs.
      loop: the loop, which solves populations and sets the oracle's tasks.
      oracle: the oracle, which finds best responses.
      compiled: the compiled game; None if the game does not compile.
      program: answers what the oracle asks, while the run goes on; None if the oracle asks for nothing.
      is_repeatable: True if the oracle finds the same responses again if it is asked the same again.
      failures: types of the exceptions by which a failing process may end the run. The run can be resumed
        after them, and their messages are one line for the user.
    """

    config: PSROConfig
    form: Format[PolicyT, PayoffsT]
    meta_game: MetaGame[PolicyT, PayoffsT]
    loop: Loop[PolicyT, PayoffsT]
    oracle: Oracle[PolicyT, PayoffsT]
    compiled: GameTree | GameGraph | None = None
    program: Program | None = None
    is_repeatable: bool = False
    failures: tuple[type[Exception], ...] = (JobError, WorkersLostError)

    def close(self) -> None:
        """Ends the processes that the run started."""

    def holds(self, population: tuple[PolicyT, ...], response: PolicyT) -> bool:
        """Returns True if a response is in the population already and must not be added again."""
        del population, response
        return False

    def say_stopped(self, done: int) -> str:
        """Returns the reason why the run ended after this many iterations, if not by convergence."""
        if done > self.config.iterations:
            asked = self.config.iterations
            return f"{count_iterations(done)} are done already: --iterations={asked} asks for fewer."
        return f"Stopped after {count_iterations(done)}, as asked."

    @abc.abstractmethod
    def describe(self) -> str:
        """Returns one line that describes the game."""

    def describe_task(self) -> Sequence[str]:
        """Returns lines on the progress of the run's own computation; none if it is done soon."""
        return ()

    def describe_now(self) -> Sequence[str]:
        """Returns lines on the current computation, by the run itself or by workers elsewhere."""
        workers = self.program.describe() if isinstance(self.program, RemoteProgram) else ()
        return [*self.describe_task(), *workers]

    @abc.abstractmethod
    def converged(self, state: PSROState[PolicyT, PayoffsT]) -> bool:
        """Returns True if it is known that no player can gain."""

    @abc.abstractmethod
    def add_row(
        self, before: Sequence[Row], state: PSROState[PolicyT, PayoffsT], seconds: float
    ) -> list[Row]:
        """Returns the rows of metrics with one more row, and the row before it completed.

        The responses of an iteration bound what there was to gain in the iteration before, so that a row may
        be completed only when the next one is added.

        Args:
          before: the rows so far.
          state: the state after an iteration.
          seconds: the iteration's duration in seconds.
        """

    def conclude(self, record: Record[PolicyT, PayoffsT]) -> Record[PolicyT, PayoffsT]:
        """Returns the record of a finished run, with the results that are only computed at the end.

        The same object is returned if there is nothing to add.
        """
        return record

    @abc.abstractmethod
    def tidy(self, iteration: int) -> None:
        """Removes files that are not needed after the record of an iteration is written.

        Args:
          iteration: the number of the iteration, counted from 1.
        """

    @abc.abstractmethod
    def outcome(self, record: Record[PolicyT, PayoffsT]) -> str:
        """Returns the reason why the run ended."""

    @abc.abstractmethod
    def summary(self, record: Record[PolicyT, PayoffsT]) -> str:
        """Returns the reason why the run ended, and the exploitability of its mixture."""

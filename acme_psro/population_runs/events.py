"""Events of a population run, as its callbacks are told them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acme_psro.oracles.base import Response
from acme_psro.population_runs.metrics import Row
from acme_psro.storage.record import Record


@dataclasses.dataclass(frozen=True, eq=False)
class Event:
    """An event of a run.

    Attributes:
      run_dir: the run's directory. After its first iteration `acme_psro.load_run` reads the run from it, with
        policies, payoffs and meta-strategies, even while it runs.
    """

    run_dir: Path


@dataclasses.dataclass(frozen=True, eq=False)
class RunStarted(Event):
    """The run has passed all checks and begins, or is resumed.

    Attributes:
      config: the configuration, as in `config.json`.
      description: one line that describes the game.
      iterations: the number of the last iteration that was asked for.
      record: the stored record from which the run is resumed; None if it is new.
    """

    config: Mapping[str, Any]
    description: str
    iterations: int
    record: Record[Any, Any] | None


@dataclasses.dataclass(frozen=True, eq=False)
class IterationStarted(Event):
    """An iteration begins: the oracle starts to look for responses.

    Attributes:
      iteration: the iteration's number, counted from 1.
      record: the record before the iteration.
    """

    iteration: int
    record: Record[Any, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class ResponseFound(Event):
    """The oracle has found a response; payoffs are not known yet.

    The responses of an iteration are reported in the order of their players, once the oracle has them all.

    Attributes:
      iteration: the iteration's number.
      player: the player who responds.
      response: the response, with what it gains and what it cost.
    """

    iteration: int
    player: int
    response: Response[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class IterationEnded(Event):
    """An iteration is complete, and its checkpoint is written.

    The initial populations count as iteration 0. If the last mixture is evaluated only at the end, as in runs
    with sampled payoffs, the event is repeated for the last iteration with the completed row.

    Attributes:
      before: the record before the iteration; None for iteration 0.
      record: the record after it.
    """

    before: Record[Any, Any] | None
    record: Record[Any, Any]

    @property
    def iteration(self) -> int:
        """The iteration's number."""
        return self.record.state.iteration

    @property
    def row(self) -> Row:
        """The newest row of metrics. With sampled payoffs, values that are not known yet are nan."""
        return self.record.metrics[-1]

    @property
    def is_repeated(self) -> bool:
        """True if the iteration was reported before, and its row is complete now."""
        return self.before is not None and self.before.state.iteration == self.iteration

    def changed_rows(self) -> list[Row]:
        """Returns the rows that are new or have new values, the oldest first."""
        known = self._known()
        return [row for row in self.record.metrics[-2:] if repr(row) != repr(known.get(row["iteration"]))]

    def new_values(self, row: Row) -> Row:
        """Returns the values of a changed row that were not known before the iteration."""
        old = self._known().get(row["iteration"], {})
        # Values are compared as text, because NaN does not equal itself.
        return {name: value for name, value in row.items() if repr(value) != repr(old.get(name))}

    def learner_metrics(self) -> Row:
        """Returns the metrics of the learners that trained the iteration's responses, by player and name."""
        return {
            f"learner_{player}/{name}": value
            for player, response in enumerate(self.record.state.responses)
            for name, value in response.metrics.items()
        }

    def _known(self) -> dict[float, Row]:
        # Only the last two rows can be new or changed: the next responses complete the row before.
        rows = [] if self.before is None else self.before.metrics[-2:]
        return {row["iteration"]: row for row in rows}


@dataclasses.dataclass(frozen=True, eq=False)
class RunEnded(Event):
    """The run is done.

    Attributes:
      record: the final record.
      outcome: one or two sentences on how the run ended.
    """

    record: Record[Any, Any]
    outcome: str


@dataclasses.dataclass(frozen=True, eq=False)
class RunStopped(Event):
    """The run ends early; it can be resumed from its newest checkpoint.

    Attributes:
      record: the newest record; None if the run had not got as far as its initial populations.
      error: the failure; a KeyboardInterrupt for Ctrl-C, an `acme_psro.StopRun` if a callback asked for it.
    """

    record: Record[Any, Any] | None
    error: BaseException

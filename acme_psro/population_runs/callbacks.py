"""Callbacks: the events of a population run, and the listeners to them.

All that a run shows and writes is done by callbacks: `acme_psro.population_runs.recording` has those of files
and `acme_psro.population_runs.showing` that of the screen. A user's own callback derives from `Callback`,
overrides the methods of the events that it needs, and is passed to `acme_psro.run`.
"""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from acme_psro.oracles.base import Response
from acme_psro.population_runs.metrics import Row
from acme_psro.storage.checkpoint import Record


class StopRun(Exception):  # noqa: N818 - it is a request, like StopIteration, and no error
    """Raised by a callback to stop the run in good order once the current iteration is stored.

    The run can be resumed. The first argument is the reason, in a few words.
    """


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
      error: the failure; a KeyboardInterrupt for Ctrl-C, a `StopRun` if a callback asked for it.
    """

    record: Record[Any, Any] | None
    error: BaseException


class Callback:
    """Listener to the events of a run. Its methods do nothing; derived classes override those they need.

    Each event is told to all callbacks in turn, in the run's own thread, so the run waits for them. A method
    may raise `StopRun`. If it raises any other exception, a warning says so, the callback is told no further
    events, and the run goes on.
    """

    def on_start(self, event: RunStarted) -> None:
        """Called once, before all other events."""

    def on_iteration_start(self, event: IterationStarted) -> None:
        """Called before the oracle looks for an iteration's responses."""

    def on_response(self, event: ResponseFound) -> None:
        """Called for each response of an iteration."""

    def on_iteration(self, event: IterationEnded) -> None:
        """Called after each iteration, when its checkpoint is written."""

    def on_end(self, event: RunEnded) -> None:
        """Called at the end of a run that is done."""

    def on_stop(self, event: RunStopped) -> None:
        """Called instead of `on_end` if the run ends early, by a failure or on request."""


class Callbacks(Callback):
    """Several callbacks as one.

    Args:
      essential: callbacks that the run cannot do without. They are told first, and what they raise ends the
        run.
      others: callbacks that must not harm the run, see `Callback`.
      warn: called with one line if one of the others fails.

    Attributes:
      stop: the request of the first callback that asked to stop the run; None if none did.
    """

    stop: StopRun | None = None

    def __init__(
        self, essential: Sequence[Callback], others: Sequence[Callback], warn: Callable[[str], None]
    ) -> None:
        self._essential = essential
        self._others = list(others)
        self._warn = warn

    def on_start(self, event: RunStarted) -> None:
        self._tell("on_start", lambda callback: callback.on_start(event))

    def on_iteration_start(self, event: IterationStarted) -> None:
        self._tell("on_iteration_start", lambda callback: callback.on_iteration_start(event))

    def on_response(self, event: ResponseFound) -> None:
        self._tell("on_response", lambda callback: callback.on_response(event))

    def on_iteration(self, event: IterationEnded) -> None:
        self._tell("on_iteration", lambda callback: callback.on_iteration(event))

    def on_end(self, event: RunEnded) -> None:
        self._tell("on_end", lambda callback: callback.on_end(event))

    def on_stop(self, event: RunStopped) -> None:
        self._tell("on_stop", lambda callback: callback.on_stop(event))

    def _tell(self, method: str, call: Callable[[Callback], None]) -> None:
        for callback in self._essential:
            call(callback)
        for callback in tuple(self._others):
            try:
                call(callback)
            except StopRun as request:
                self.stop = self.stop or request
            except Exception as error:
                self._others.remove(callback)
                self._warn(_describe(callback, method, error))


def _describe(callback: Callback, method: str, error: Exception) -> str:
    """Returns one line on a callback that failed, with the place in the source."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"{type(callback).__name__}.{method} failed, and is told no further events: "
        f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno}). The run itself goes on."
    )

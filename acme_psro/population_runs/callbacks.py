"""Callbacks: the listeners to the events of a population run.

All that a run shows and writes is done by callbacks: `acme_psro.population_runs.recording` has those of files
and `acme_psro.population_runs.showing` that of the screen. A user's own callback derives from `Callback`,
overrides the methods of the events that it needs, and is passed to `acme_psro.run`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence

from acme_psro.population_runs.events import (
    IterationEnded,
    IterationStarted,
    ResponseFound,
    RunEnded,
    RunStarted,
    RunStopped,
)


class StopRun(Exception):  # noqa: N818 - it is a request, like StopIteration, and no error
    """Raised by a callback to stop the run in good order once the current iteration is stored.

    The run can be resumed. The first argument is the reason, in a few words.
    """


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

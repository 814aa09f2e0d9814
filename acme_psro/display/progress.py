"""Progress of a run: a live table in a terminal, plain lines in files and pipes."""

from __future__ import annotations

import abc
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TextIO

from acme_psro.display import formats
from acme_psro.display.formats import Row
from acme_psro.display.remaining import RemainingTime

# A plain display that has printed nothing for this long prints a line that the run is still at work.
HEARTBEAT_SECONDS = 30.0

# Returns lines on the state of the current task, such as one for each program that runs.
Details = Callable[[], Sequence[str]]


def no_details() -> Sequence[str]:
    """Returns no lines."""
    return ()


class Progress(abc.ABC):
    """Display that a run reports its progress to; `make_progress` chooses the implementation.

    It is a context manager: a run reports between its entry and its exit.
    """

    @abc.abstractmethod
    def start_iteration(self, iteration: int, text: str, details: Details = no_details) -> None:
        """Reports that an iteration has started, or that its task has changed.

        Args:
          iteration: the iteration's number.
          text: the current task in a few words, e.g. `training best responses`.
          details: returns further lines on the current task whenever the display is drawn.
        """

    @abc.abstractmethod
    def update(self, row: Row) -> None:
        """Shows the metrics row of a finished iteration.

        It is called again for the same iteration if more of its values become known later.

        Args:
          row: a row of metrics.csv; values that are not known yet are nan.
        """

    @abc.abstractmethod
    def note(self, text: str) -> None:
        """Shows a permanent line of text, e.g. the path of the report."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restores the stream to the state it had at entry."""


class PlainProgress(Progress):
    """Progress as one aligned line for each iteration, without escape codes: for files and pipes.

    While an iteration takes long, a line says from time to time that it is still at work.

    Args:
      iterations: the number of the run's last iteration.
      stream: the stream to write to.
      heartbeat_seconds: longest time without a line, between entry and exit.
    """

    def __init__(self, iterations: int, stream: TextIO, heartbeat_seconds: float = HEARTBEAT_SECONDS):
        self._iterations = iterations
        self._stream = stream
        self._heartbeat_seconds = heartbeat_seconds
        self._remaining = RemainingTime(iterations)
        self._last_iteration = -1
        self._iteration, self._text, self._details = 0, "starting", no_details
        self._task_began = self._last_line = time.monotonic()
        # Lines are written by this thread and by that of the heartbeat.
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._heartbeat = threading.Thread(target=self._beat, name="acme_psro_heartbeat", daemon=True)

    def __enter__(self) -> Progress:
        self._task_began = self._last_line = time.monotonic()
        self._heartbeat.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._heartbeat.join()

    def start_iteration(self, iteration: int, text: str, details: Details = no_details) -> None:
        with self._lock:
            self._iteration, self._text, self._details = iteration, text, details
            self._task_began = time.monotonic()

    def update(self, row: Row) -> None:
        self._remaining.add(row)
        # A printed line cannot be replaced, so wait until `update` is called with the values.
        is_known = not math.isnan(row["nash_conv"]) or formats.is_never_known(row)
        if not is_known or row["iteration"] <= self._last_iteration:
            return
        self._last_iteration = int(row["iteration"])
        width = len(str(self._iterations))
        players = formats.count_players(row)
        # Every line must have the same columns. A gap takes at most 5 characters (999.9) and " / " takes 3;
        # the last gap is followed by " %". A population size has at most one digit more than the iterations.
        gaps = f"  best-response gap {formats.format_gaps(row):>{8 * players - 1}}"
        name, sizes = formats.describe_sizes(row)
        sizes_width = (width + 4) * players - 3
        if formats.has_members(row):
            sizes_width = 2 * len(f"{row['population_0']:.0f}") + len(" of ")
        self.note(
            f"iteration {row['iteration']:{width}.0f}/{self._iterations}"
            f"  {_describe_result(row)}"
            f"{'' if formats.is_bounded(row) else gaps}"
            f"  {name} {sizes:>{sizes_width}}"
            f"  {formats.format_duration(row['wall_seconds']):>12}"
            f"{self._remaining.text('  ')}"
        )

    def note(self, text: str) -> None:
        with self._lock:
            print(text, file=self._stream, flush=True)
            self._last_line = time.monotonic()

    def _beat(self) -> None:
        """Prints a line whenever none was printed for `heartbeat_seconds`, until the display ends."""
        while not self._ended.wait(max(0.0, self._last_line + self._heartbeat_seconds - time.monotonic())):
            with self._lock:
                now = time.monotonic()
                if now - self._last_line < self._heartbeat_seconds:
                    continue
                seconds = formats.format_duration(now - self._task_began)
                lines = [f"iteration {self._iteration}: {self._text}, for {seconds} so far"]
                lines[0] += self._remaining.text(", ")
                self.note("\n".join([*lines, *(f"  {line}" for line in self._details())]))


def _describe_result(row: Row) -> str:
    """Returns the results of a row's mixture as a text, which has the same length in all rows of a run."""
    if formats.is_never_known(row):
        drift = formats.format_value(row.get("payoff_drift", math.nan))
        return f"exploitability unknown  payoff drift {drift:>9}"
    # 9 characters for a value, or for a value and its error with ">= " and " ± " before them.
    width = 24 if formats.is_bounded(row) else 9
    columns = formats.convergence_columns(row).items()
    return "  ".join(f"{title} {formats.format_bound(row, name):>{width}}" for name, title in columns)


def make_progress(
    iterations: int, stream: TextIO | None = None, enabled_live: bool | None = None
) -> Progress:
    """Returns a display that suits the stream, to be used in a `with` statement.

    Args:
      iterations: the number of iterations of the run, without the initial population (iteration 0).
      stream: the stream to write to; standard error if None.
      enabled_live: True to redraw in place, False for plain lines. If None, redraws in place if the
        stream is a terminal that supports it.
    """
    stream = sys.stderr if stream is None else stream
    if enabled_live is None:
        enabled_live = stream.isatty() and os.environ.get("TERM") != "dumb"
    if not enabled_live:
        return PlainProgress(iterations, stream)
    # Imported here, because plain progress works without rich and starts faster.
    from acme_psro.display.live_progress import LiveProgress

    return LiveProgress(iterations, stream)

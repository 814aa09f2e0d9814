"""Display of a sweep's progress: a bar with the runs at work in a terminal, lines in files and pipes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple, TextIO

from acme_psro.display.formats import format_duration

# Longest silence in a file or a pipe.
_HEARTBEAT_SECONDS = 30.0
# The time left is not told before this time, as it would say little.
_LEAST_SECONDS = 10.0
_MOST_LINES = 12


class Counts(NamedTuple):
    """Counts of a sweep's runs.

    Attributes:
      runs: the number of runs.
      done: those that are done.
      running: those at work now.
      failed: those that have failed.
      share: the share of all runs' work that is done, between 0 and 1, failed runs included.
    """

    runs: int
    done: int
    running: int
    failed: int
    share: float

    def describe(self, left: float | None) -> str:
        """Returns one line, with the seconds left if they are known."""
        failed = f", {self.failed} failed" if self.failed else ""
        text = f"{self.done} of {self.runs} runs done, {self.running} running{failed}"
        return text if left is None or left < 1.0 else f"{text}, about {format_duration(left)} left"


class RemainingTime:
    """Estimate of the time left, from the work that this process has seen done.

    Args:
      now: the time in seconds, of a monotonic clock.
      share: the share of the work that earlier processes have done.
    """

    def __init__(self, now: float, share: float) -> None:
        self._began, self._first = now, share

    def seconds(self, now: float, share: float) -> float | None:
        """Returns the seconds left; None if they are not known yet."""
        passed, gained = now - self._began, share - self._first
        if passed < _LEAST_SECONDS or gained <= 0:
            return None
        return max(0.0, 1.0 - share) * passed / gained


class SweepProgress:
    """Display of the counts of runs, and of events of single runs; a context manager.

    Args:
      counts: the counts at the beginning.
      stream: the stream to write to; None for standard error.
      heartbeat_seconds: longest time without a line, unless the display is redrawn in place.
    """

    def __init__(
        self, counts: Counts, stream: TextIO | None = None, heartbeat_seconds: float = _HEARTBEAT_SECONDS
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._heartbeat_seconds = heartbeat_seconds
        self._left = RemainingTime(time.monotonic(), counts.share)
        self._counts, self._lines = counts, list[str]()
        self._printed_at = time.monotonic()
        is_live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._live: Any = self._make_live() if is_live else None

    def __enter__(self) -> SweepProgress:
        if self._live is None:
            self.note(self._summary())
        else:
            self._live.start(refresh=True)
            # A killed process could not show the cursor again.
            self._live.console.show_cursor(True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, counts: Counts, lines: Sequence[str]) -> None:
        """Shows the newest counts, and a line on each run at work.

        In a file or a pipe, they are printed if nothing else was for a while.
        """
        self._counts, self._lines = counts, list(lines)
        if self._live is not None:
            self._live.refresh()
        elif time.monotonic() - self._printed_at >= self._heartbeat_seconds:
            self.note("\n".join([self._summary(), *(f"  {line}" for line in self._lines)]))

    def note(self, text: str) -> None:
        """Shows a permanent line."""
        self._printed_at = time.monotonic()
        if self._live is None:
            print(text, file=self._stream, flush=True)
        else:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _summary(self) -> str:
        return self._counts.describe(self._left.seconds(time.monotonic(), self._counts.share))

    def _make_live(self) -> Any:
        # Imported here, because it takes a while and files do without it.
        from rich.console import Console
        from rich.live import Live

        # Other lines of this process are printed above the display, unless they go to a file.
        return Live(
            get_renderable=self._render,
            console=Console(file=self._stream, force_terminal=True),
            auto_refresh=False,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
        )

    def _render(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        bar: Any = Table.grid(padding=(0, 2))
        bar.add_row(ProgressBar(total=1.0, completed=self._counts.share, width=30), self._summary())
        shown = self._lines[:_MOST_LINES]
        if len(self._lines) > _MOST_LINES:
            shown = [*shown[:-1], f".. and {len(self._lines) - _MOST_LINES + 1} more"]
        return Group(bar, *(Text(f"  {line}", overflow="ellipsis", no_wrap=True) for line in shown))

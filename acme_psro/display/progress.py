"""Progress of a run: a live table in a terminal, plain lines in files and pipes."""

from __future__ import annotations

import abc
import collections
import math
import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from acme_psro.display import formats
from acme_psro.display.formats import Row

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_ROWS_SHOWN = 8
_REFRESHES_PER_SECOND = 4.0


class Progress(abc.ABC):
    """Display that a run reports its progress to; `make_progress` chooses the implementation.

    It is a context manager: a run reports between its entry and its exit.
    """

    @abc.abstractmethod
    def start_iteration(self, iteration: int, text: str) -> None:
        """Reports that an iteration has started.

        Args:
            iteration: the iteration's number.
            text: the current task in a few words, e.g. `training best responses`.
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

    Args:
        iterations: the number of the run's last iteration.
        stream: the stream to write to.
    """

    def __init__(self, iterations: int, stream: TextIO):
        self._iterations = iterations
        self._stream = stream

    def start_iteration(self, iteration: int, text: str) -> None:
        """Writes nothing, because `update` writes the iteration's line."""

    def update(self, row: Row) -> None:
        # A printed line cannot be replaced, so wait until `update` is called with the values.
        if math.isnan(row["nash_conv"]):
            return
        width = len(str(self._iterations))
        players = formats.count_players(row)
        # Every line must have the same columns. A gap takes at most 5 characters (999.9) and " / " takes 3;
        # the last gap is followed by " %". A population size has at most one digit more than the iterations.
        gaps = f"  best-response gap {formats.format_gaps(row):>{8 * players - 1}}"
        populations = f"{formats.format_populations(row):>{(width + 4) * players - 3}}"
        bounded = formats.is_bounded(row)
        # 9 characters for a value, or for a value and its error with ">= " and " ± " before them.
        value_width = 24 if bounded else 9
        self.note(
            f"iteration {row['iteration']:{width}.0f}/{self._iterations}"
            f"  NashConv {formats.format_bound(row, 'nash_conv'):>{value_width}}"
            f"  exploitability {formats.format_bound(row, 'exploitability'):>{value_width}}"
            f"{'' if bounded else gaps}"
            f"  populations {populations}"
            f"  {formats.format_duration(row['wall_seconds']):>12}"
        )

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class LiveProgress(Progress):
    """Progress as a bar and a table of the latest iterations, redrawn in place in a terminal.

    Args:
        iterations: the number of the run's last iteration.
        stream: the terminal to draw in.
    """

    def __init__(self, iterations: int, stream: TextIO):
        # Imported here, because plain progress works without rich and starts faster.
        from rich.console import Console
        from rich.live import Live

        self._iterations = iterations
        self._completed = 0
        self._text = "starting"
        self._rows: collections.deque[Row] = collections.deque(maxlen=_ROWS_SHOWN)
        self._started = time.monotonic()
        self._console = Console(file=stream, force_terminal=True)
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=_REFRESHES_PER_SECOND,
            # Output that the user sends to a file or pipe must stay there: only redirect terminals.
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
        )

    def __enter__(self) -> Progress:
        self._started = time.monotonic()
        self._live.start(refresh=True)
        # Live hides the cursor. A killed process could not restore it, so keep it visible.
        self._console.show_cursor(True)
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._text = "done" if error is None else "stopped"
        self._live.stop()

    def start_iteration(self, iteration: int, text: str) -> None:
        self._text = f"iteration {iteration}: {text}"
        self._live.refresh()

    def update(self, row: Row) -> None:
        # A second row of the same iteration knows more than the first one and replaces it.
        if self._rows and self._rows[-1]["iteration"] == row["iteration"]:
            self._rows.pop()
        self._rows.append(dict(row))
        self._completed = int(row["iteration"])
        self._live.refresh()

    def note(self, text: str) -> None:
        # A path may hold square brackets, which rich would take for markup.
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        """Returns the current display: table, bar and status. `Live` calls it before every redraw."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        elapsed = formats.format_duration(time.monotonic() - self._started)
        bar = Table.grid(padding=(0, 2), expand=False)
        bar.add_row(
            ProgressBar(
                total=max(self._iterations, 1),
                completed=self._completed,
                width=30,
                complete_style="blue",
                finished_style="green",
            ),
            f"{self._completed}/{self._iterations}",
            f"elapsed {elapsed}",
        )
        status = Text(self._text, overflow="ellipsis", no_wrap=True)
        if not self._rows:
            return Group(bar, status)
        return Group(_make_table(self._rows), "", bar, status)


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
    return LiveProgress(iterations, stream) if enabled_live else PlainProgress(iterations, stream)


def _make_table(rows: collections.deque[Row]) -> Table:
    """Returns a table with one line for each metrics row."""
    from rich import box
    from rich.table import Table

    table: Any = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        header_style="bold",
    )
    for title in ("iteration", "NashConv", "exploitability"):
        table.add_column(title, justify="right", no_wrap=True)
    # These two grow with the number of players. They may wrap, so that no number is cut off.
    for title in ("best-response gap", "populations"):
        table.add_column(title, justify="right", overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    # Rich redraws in a thread of its own, so iterate over a copy: `update` may change the rows meanwhile.
    for row in tuple(rows):
        table.add_row(
            f"{row['iteration']:.0f}",
            formats.format_bound(row, "nash_conv"),
            formats.format_bound(row, "exploitability"),
            formats.format_gaps(row),
            formats.format_populations(row),
            formats.format_duration(row["wall_seconds"]),
        )
    return table

"""Progress of a run in a terminal: a bar and a table that are redrawn in place."""

from __future__ import annotations

import collections
import sys
import time
from types import TracebackType
from typing import Any, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from acme_psro.display import formats
from acme_psro.display.formats import Row
from acme_psro.display.progress import Details, Progress, no_details
from acme_psro.display.remaining import RemainingTime

_ROWS_SHOWN = 8
_REFRESHES_PER_SECOND = 4.0
# Details are read from files, so they are read less often than the display is drawn.
_DETAILS_SECONDS = 2.0


class LiveProgress(Progress):
    """Progress as a bar and a table of the latest iterations, redrawn in place in a terminal.

    Args:
      iterations: the number of the run's last iteration.
      stream: the terminal to draw in.
    """

    def __init__(self, iterations: int, stream: TextIO):
        self._iterations = iterations
        self._completed = 0
        self._text, self._details = "starting", no_details
        self._detail_lines: tuple[str, ...] = ()
        self._details_read = 0.0
        self._rows: collections.deque[Row] = collections.deque(maxlen=_ROWS_SHOWN)
        self._remaining = RemainingTime(iterations)
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
        self._text = "done" if error_type is None else "stopped"
        self._details, self._details_read = no_details, 0.0
        # Nothing is left to do, even if the run converged before its last iteration.
        self._remaining = RemainingTime(0)
        self._live.stop()

    def start_iteration(self, iteration: int, text: str, details: Details = no_details) -> None:
        self._text, self._details, self._details_read = f"iteration {iteration}: {text}", details, 0.0
        self._live.refresh()

    def update(self, row: Row) -> None:
        # A second row of the same iteration knows more than the first one and replaces it.
        if self._rows and self._rows[-1]["iteration"] == row["iteration"]:
            self._rows.pop()
        self._rows.append(dict(row))
        self._remaining.add(row)
        self._completed = int(row["iteration"])
        self._live.refresh()

    def note(self, text: str) -> None:
        # A path may hold square brackets, which rich would take for markup.
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        """Returns the current display: table, bar and status. `Live` calls it before every redraw."""
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
            f"elapsed {elapsed}{self._remaining.text(', ')}",
        )
        status = Text("\n".join([self._text, *self._read_details()]), overflow="ellipsis", no_wrap=True)
        if not self._rows:
            return Group(bar, status)
        return Group(_make_table(self._rows), "", bar, status)

    def _read_details(self) -> tuple[str, ...]:
        """Returns the lines on the current task, at most a few seconds old."""
        now = time.monotonic()
        if now - self._details_read > _DETAILS_SECONDS:
            self._detail_lines = tuple(f"  {line}" for line in self._details())
            self._details_read = now
        return self._detail_lines


def _make_table(rows: collections.deque[Row]) -> Table:
    """Returns a table with one line for each metrics row."""
    table: Any = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        header_style="bold",
    )
    columns = formats.convergence_columns(rows[-1])
    for title in ("iteration", *columns.values()):
        table.add_column(title, justify="right", no_wrap=True)
    # These two grow with the number of players. They may wrap, so that no number is cut off.
    for title in ("best-response gap", formats.describe_sizes(rows[-1])[0]):
        table.add_column(title, justify="right", overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    # Rich redraws in a thread of its own, so iterate over a copy: `update` may change the rows meanwhile.
    for row in tuple(rows):
        table.add_row(
            f"{row['iteration']:.0f}",
            *(formats.format_bound(row, name) for name in columns),
            formats.format_gaps(row),
            formats.describe_sizes(row)[1],
            formats.format_duration(row["wall_seconds"]),
        )
    return table

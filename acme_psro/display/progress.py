"""Shows how a run comes along: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import abc
import collections
import math
import os
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_ROWS_SHOWN = 8
_REFRESHES_PER_SECOND = 4.0


def count_players(row: Mapping[str, float]) -> int:
    """Returns the number of players of a metrics row, by its columns `population_0`, ...."""
    players = 0
    while f"population_{players}" in row:
        players += 1
    return players


def is_bounded(row: Mapping[str, float]) -> bool:
    """Returns whether a metrics row has lower bounds with standard errors in place of exact figures."""
    return "nash_conv_stderr" in row


def format_value(value: float) -> str:
    """Returns a game value (NashConv, gain) in at most 9 characters; `-` where it is not finite."""
    if not math.isfinite(value):
        return "-"
    if value == 0.0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4f}"
    return f"{value:.2e}"


def format_bound(row: Mapping[str, float], name: str) -> str:
    """Returns a value of a row; where only a lower bound is known, `>= 0.1230 ± 0.0040`."""
    value, error = row.get(name, math.nan), row.get(f"{name}_stderr", math.nan)
    text = format_value(value)
    return f">= {text} ± {format_value(error)}" if math.isfinite(value) and math.isfinite(error) else text


def format_percent(fraction: float) -> str:
    """Returns a fraction as percent, e.g. 0.035 as `3.5 %`; `-` where it is not finite."""
    return f"{100 * fraction:.1f} %" if math.isfinite(fraction) else "-"


def format_duration(seconds: float) -> str:
    """Returns seconds in the two largest units that matter, e.g. `4 min 05 s`."""
    if not math.isfinite(seconds):
        return "-"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_gaps(row: Mapping[str, float]) -> str:
    """Returns the relative best-response gap of each player, e.g. `3.5 / 1.6 %`."""
    gaps = [row.get(f"relative_gap_{p}", math.nan) for p in range(count_players(row))]
    texts = [f"{100 * gap:.1f}" if math.isfinite(gap) else "-" for gap in gaps]
    return " / ".join(texts) + (" %" if any(map(math.isfinite, gaps)) else "")


def format_populations(row: Mapping[str, float]) -> str:
    """Returns the population size of each player, joined by slashes."""
    return " / ".join(f"{row[f'population_{p}']:.0f}" for p in range(count_players(row)))


class Progress(abc.ABC):
    """Context manager that a run tells what it does; `make_progress` picks the kind."""

    @abc.abstractmethod
    def start_iteration(self, iteration: int, text: str) -> None:
        """Says that an iteration began, and in a few words what it does."""

    @abc.abstractmethod
    def update(self, row: Mapping[str, float]) -> None:
        """Shows the metrics row of a finished iteration, again where more has become known of it."""

    @abc.abstractmethod
    def note(self, text: str) -> None:
        """Shows a line that stays, e.g. where the report is."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves the stream as it was found."""


class PlainProgress(Progress):
    """One line an iteration, aligned, without escape codes: for logs, files and pipes."""

    def __init__(self, iterations: int, stream: TextIO):
        self._iterations = iterations
        self._stream = stream

    def start_iteration(self, iteration: int, text: str) -> None:
        """Writes nothing: the line comes with the numbers."""

    def update(self, row: Mapping[str, float]) -> None:
        # A row whose figures are not known yet comes again.
        if math.isnan(row["nash_conv"]):
            return
        width = len(str(self._iterations))
        players = count_players(row)
        # A gap takes at most 5 characters up to 999.9, and " / " stands between two.
        gaps = f"  best-response gap {format_gaps(row):>{8 * players - 1}}"
        populations = f"{format_populations(row):>{(width + 4) * players - 3}}"
        bounded = is_bounded(row)
        value_width = 24 if bounded else 9
        self.note(
            f"iteration {row['iteration']:{width}.0f}/{self._iterations}"
            f"  NashConv {format_bound(row, 'nash_conv'):>{value_width}}"
            f"  exploitability {format_bound(row, 'exploitability'):>{value_width}}"
            f"{'' if bounded else gaps}"
            f"  populations {populations}"
            f"  {format_duration(row['wall_seconds']):>12}"
        )

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class LiveProgress(Progress):
    """A bar over the iterations and a table of the latest ones, redrawn in place."""

    def __init__(self, iterations: int, stream: TextIO):
        from rich.console import Console
        from rich.live import Live

        self._iterations = iterations
        self._completed = 0
        self._text = "starting"
        self._rows: collections.deque[Mapping[str, float]] = collections.deque(maxlen=_ROWS_SHOWN)
        self._started = time.monotonic()
        self._console = Console(file=stream, force_terminal=True)
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=_REFRESHES_PER_SECOND,
            # What is piped elsewhere must stay in its pipe and not be drawn above the table.
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
        )

    def __enter__(self) -> Progress:
        self._started = time.monotonic()
        self._live.start(refresh=True)
        # Live hides the cursor and a killed process could not bring it back, so keep it visible.
        self._console.show_cursor(True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._text = "done" if error is None else "stopped"
        self._live.stop()

    def start_iteration(self, iteration: int, text: str) -> None:
        self._text = f"iteration {iteration}: {text}"
        self._live.refresh()

    def update(self, row: Mapping[str, float]) -> None:
        if self._rows and self._rows[-1]["iteration"] == row["iteration"]:
            self._rows.pop()
        self._rows.append(dict(row))
        self._completed = int(row["iteration"])
        self._live.refresh()

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        elapsed = format_duration(time.monotonic() - self._started)
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
        return Group(_table(self._rows), "", bar, status)


def make_progress(
    iterations: int, stream: TextIO | None = None, enabled_live: bool | None = None
) -> Progress:
    """Returns the display that suits the stream; use it in a `with` statement.

    Args:
        iterations: the number of iterations to come to, without the initial population.
        stream: where to show it; standard error if None.
        enabled_live: whether to redraw in place; if None, where the stream is a terminal that can.
    """
    stream = sys.stderr if stream is None else stream
    if enabled_live is None:
        enabled_live = stream.isatty() and os.environ.get("TERM") != "dumb"
    return LiveProgress(iterations, stream) if enabled_live else PlainProgress(iterations, stream)


def _table(rows: collections.deque[Mapping[str, float]]) -> Table:
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
    # These two grow with the number of players; in a narrow terminal they wrap.
    for title in ("best-response gap", "populations"):
        table.add_column(title, justify="right", overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    for row in tuple(rows):
        table.add_row(
            f"{row['iteration']:.0f}",
            format_bound(row, "nash_conv"),
            format_bound(row, "exploitability"),
            format_gaps(row),
            format_populations(row),
            format_duration(row["wall_seconds"]),
        )
    return table

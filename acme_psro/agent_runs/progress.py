"""Progress display for the training of one agent: one line per evaluation and, in a terminal, a bar."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TextIO

from acme_psro.display.formats import format_duration, format_value


class Progress:
    """Display to which a run reports its progress. It is a context manager.

    Args:
      actor_steps: number of actor steps of the whole run.
      stream: stream to write to, or None for standard output.
      enabled_bar: True to draw a bar. If None, a bar is drawn if the stream is a terminal that supports it.
    """

    def __init__(
        self, actor_steps: int, stream: TextIO | None = None, enabled_bar: bool | None = None
    ) -> None:
        self._total = actor_steps
        self._stream = stream or sys.stdout
        if enabled_bar is None:
            enabled_bar = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._bar = _make_bar(self._stream) if enabled_bar else None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, actor_steps: int) -> None:
        """Reports the start of training.

        Args:
          actor_steps: number of steps of the checkpoint from which the run is resumed, or 0 for a new run.
        """
        if actor_steps:
            self.note(f"resuming from {actor_steps:,} steps")
        if self._bar is not None:
            self._task = self._bar.add_task("", total=self._total, completed=actor_steps, last="-")

    def advance(self, actor_steps: int, episode_return: float) -> None:
        """Reports progress, which only the bar shows.

        Args:
          actor_steps: number of steps made so far.
          episode_return: return of the last episode.
        """
        if self._bar is not None:
            self._bar.update(self._task, completed=actor_steps, last=format_value(episode_return))

    def show(self, row: Mapping[str, float]) -> None:
        """Shows an evaluation.

        Args:
          row: row of `evaluation.csv`.
        """
        text = f"{row['actor_steps']:>12,.0f} steps  return {format_value(row['episode_return']):>9}"
        if math.isfinite(row["episode_return_stderr"]):
            text += f" +- {format_value(row['episode_return_stderr'])}"
        if "exact_value" in row:
            exact, best = format_value(row["exact_value"]), format_value(row["best_response_value"])
            text += f"  exactly {exact} of {best}"
        self.note(f"{text}  {format_duration(row['training_seconds']):>12}")

    def note(self, text: str) -> None:
        """Shows a permanent line of text."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self._stream, flush=True)


def _make_bar(stream: TextIO) -> Any:
    # Imported here because only terminals need it.
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("last return {task.fields[last]}"),
        progress.TimeRemainingColumn(),
        console=Console(file=stream, force_terminal=True),
    )

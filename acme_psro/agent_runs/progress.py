"""Progress display for the training of one agent: one line per evaluation, and a sign of life in between.

In a terminal the sign of life is a bar. In a file or a pipe it is a line, whenever nothing else was printed
for half a minute.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.pace import Pace
from acme_psro.display.formats import format_duration, format_value

# Longest silence in a file or a pipe.
HEARTBEAT_SECONDS = 30.0
_STARTING = "starting"
# Phase in which the learner learns. In it, the last return is shown instead of the phase.
TRAINING = "training"
COMPILING = "compiling the learner's update"


class Progress:
    """Display to which a run reports its progress. It is a context manager.

    Args:
      actor_steps: number of actor steps of the whole run.
      stream: stream to write to, or None for standard output.
      enabled_bar: True to draw a bar. If None, a bar is drawn if the stream is a terminal that supports it.
      heartbeat_seconds: without a bar, longest time without a line.
    """

    def __init__(
        self,
        actor_steps: int,
        stream: TextIO | None = None,
        enabled_bar: bool | None = None,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._total = actor_steps
        self._stream = stream or sys.stdout
        if enabled_bar is None:
            enabled_bar = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._bar = _make_bar(self._stream) if enabled_bar else None
        self._task: Any = None
        self._steps = 0
        self._phase = _STARTING
        self._last_return = math.nan
        self._pace = Pace(actor_steps)
        self._heartbeat_seconds = heartbeat_seconds
        self._printed_at = time.monotonic()
        # The main thread and the heartbeat print.
        self._lock = threading.RLock()
        self._ended = threading.Event()

    def __enter__(self) -> Progress:
        self._printed_at = time.monotonic()
        if self._bar is not None:
            self._task = self._bar.add_task("", total=self._total, state=self._phase)
            self._bar.start()
        else:
            threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()

    def start(self, actor_steps: int) -> None:
        """Reports the start of training.

        Args:
          actor_steps: number of steps of the checkpoint from which the run is resumed, or 0 for a new run.
        """
        if actor_steps:
            self.note(f"resuming from {actor_steps:,} steps")
        self._steps = actor_steps
        self._redraw()

    def enter(self, phase: str, *, announced: bool = False) -> None:
        """Reports what the run is doing now.

        Args:
          phase: the current work in a few words. It is part of the sign of life.
          announced: without a bar, True to print a line now.
        """
        if phase == self._phase:
            return
        self._phase = phase
        self._pace.restart()
        if announced and self._bar is None:
            self.note(phase)
        self._redraw()

    @contextlib.contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Reports what the run is doing inside a context, and restores the phase before it at the end."""
        before, self._phase = self._phase, phase
        self._redraw()
        try:
            yield
        finally:
            self._phase = before
            self._redraw()

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Reports that the learner compiles its update inside a context, and that it trains from then on."""
        self.enter(COMPILING, announced=True)
        yield
        self.enter(TRAINING)

    def advance(self, actor_steps: int, episode_return: float) -> None:
        """Reports progress, which only the sign of life shows.

        Args:
          actor_steps: number of steps made so far.
          episode_return: return of the last episode.
        """
        self._steps, self._last_return = actor_steps, episode_return
        # Before, the learner does not learn, or does not even run.
        if self._phase == TRAINING:
            self._pace.add(time.monotonic(), actor_steps)
        self._redraw()

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
        with self._lock:
            self._printed_at = time.monotonic()
            if self._bar is not None:
                self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
            else:
                print(text, file=self._stream, flush=True)

    def describe(self) -> str:
        """Returns the sign of life: the share of steps made, the current work, and the time left."""
        left = self._pace.left(time.monotonic())
        text = describe_steps(self._steps, self._total, self._state(), left)
        # Numbers of steps are below each other, as in the lines of evaluations.
        return " " * (12 - len(f"{self._steps:,}")) + text

    def _state(self) -> str:
        if self._phase in (_STARTING, TRAINING) and math.isfinite(self._last_return):
            return f"last return {format_value(self._last_return)}"
        return self._phase

    def _redraw(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._steps, state=self._state())

    def _beat(self) -> None:
        """Prints the sign of life whenever nothing was printed for some time, until the run ends."""
        # Output that cannot be written any more must not end the run.
        with contextlib.suppress(OSError, ValueError):
            while not self._ended.wait(self._wait_seconds()):
                with self._lock:
                    if self._wait_seconds() <= 0 and not self._ended.is_set():
                        self.note(self.describe())

    def _wait_seconds(self) -> float:
        return max(0.0, self._printed_at + self._heartbeat_seconds - time.monotonic())


def describe_steps(steps: int, total: int, state: str, left: float) -> str:
    """Returns the progress of a run in one line.

    Args:
      steps: number of steps made so far.
      total: number of steps of the whole run.
      state: the current work in a few words.
      left: estimated seconds until all steps are made, or nan.
    """
    # A run ends with the episode in which it makes its last step, and so makes a few more.
    parts = [f"{steps:,} of {total:,} steps ({min(1.0, steps / total):.0%})", state]
    if math.isfinite(left):
        parts.append(f"about {format_duration(left)} left")
    return "  ".join(parts)


def describe_run(config: AgentRunConfig, directory: Path, devices: str) -> str:
    """Returns the first line of a run: agent, environment, budget, devices and directory.

    Args:
      config: configuration of the run.
      directory: output directory of the run.
      devices: names of the learner's devices.
    """
    program = ""
    if config.distributed:
        program = f"a program with {config.num_actors} actor{'s' if config.num_actors > 1 else ''}, "
    budget = f"{config.actor_steps:,} steps"
    where = f"learner on {devices}, directory {directory}"
    return f"{config.agent} in {config.environment}: {budget}, {program}{where}"


def _make_bar(stream: TextIO) -> Any:
    # Imported here because only terminals need it.
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[state]}", markup=False),
        progress.TimeRemainingColumn(),
        console=Console(file=stream, force_terminal=True),
    )

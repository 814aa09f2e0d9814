"""Sweeps from their beginning, or from where they stopped, to their last run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from acme_psro.sweeps import directory
from acme_psro.sweeps.cells import Cell
from acme_psro.sweeps.directory import is_finished
from acme_psro.sweeps.jobs import SweepRun, describe_progress, make_job, make_runs, share_done
from acme_psro.sweeps.progress import Counts, SweepProgress
from acme_psro.sweeps.publishing import Publisher, labels_of
from acme_psro.sweeps.reading import SweepFile
from acme_psro.sweeps.results import CellResult, describe_results, find_results
from acme_psro.system.executors.base import Executor
from acme_psro.system.jobs import Event, JobError
from acme_psro.system.lock import locked
from acme_psro.system.retries import Retries
from acme_psro.system.supervision import run_all

# A run whose process failed twice without a new checkpoint in between fails for good.
_RETRIES = Retries(most=1)
# Seconds between two looks at the files of runs, which may be many.
_LOOK_SECONDS = 1.0


class Sweep(NamedTuple):
    """A sweep whose directory is locked.

    Attributes:
      root: its directory.
      file: its file.
      cells: its cells, with the names of their directories.
      runs: its runs, in the order in which they begin.
    """

    root: Path
    file: SweepFile
    cells: list[Cell]
    runs: list[SweepRun]


class Ended(NamedTuple):
    """The end of a sweep.

    Attributes:
      failed: the reasons of failed runs, by name.
      lines: a table of final values.
      has_report: True if the report of the ended sweep is written.
    """

    failed: dict[str, str]
    lines: list[str]
    has_report: bool


@contextlib.contextmanager
def opened_sweep(file: SweepFile, cells: Sequence[Cell], root: Path, resume: bool) -> Iterator[Sweep]:
    """Context manager that makes all checks, locks the directory, records the sweep in it and provides it.

    Args:
      file: the sweep.
      cells: its cells.
      root: its directory, which need not exist.
      resume: True to resume it. Cells and seeds may have been added to the file.

    Raises:
      ValueError: the directory cannot be used.
    """
    command = file.kind.command
    directory.settle(root, command, cells, file.seeds, resume)
    with locked(root):
        # Another process may have written to the directory before this one acquired the lock.
        settled = directory.settle(root, command, cells, file.seeds, resume)
        directory.write_manifest(root, command, settled, file.seeds)
        yield Sweep(root, file, settled, make_runs(root, settled, file.seeds))


def carry_out(
    sweep: Sweep,
    executor: Executor,
    parallel: int,
    warn: Callable[[str], None],
    stream: TextIO | None = None,
    poll_seconds: float = 0.5,
) -> Ended:
    """Carries out all runs that are not done; a run that fails does not stop the others.

    Args:
      sweep: the sweep.
      executor: what carries out its runs.
      parallel: the number of runs at a time on this machine.
      warn: called with one line if the report cannot be written.
      stream: the stream of the display; None for standard error.
      poll_seconds: seconds between two checks of the runs.

    Raises:
      KeyboardInterrupt: Ctrl-C was pressed, or SIGTERM was received; the sweep can be resumed.
    """
    watch = _Watch(sweep, Publisher(sweep.root, sweep.file, warn), stream)
    jobs = [make_job(sweep.file.kind, sweep.file.modules, run) for run in sweep.runs]
    with watch.display:
        try:
            run_all(
                jobs,
                at_once=executor.room(parallel),
                retries=_RETRIES,
                poll_seconds=poll_seconds,
                on_event=watch.note,
                on_poll=watch.look,
                on_failed=watch.fail,
                executor=executor,
            )
        except BaseException:
            watch.publish_stopped()
            raise
    return watch.end()


class _Watch:
    """Bookkeeping of a sweep while it goes on.

    Args:
      sweep: the sweep.
      publisher: the writer of its files.
      stream: the stream of the display.

    Attributes:
      display: the display, to be entered by the caller.
    """

    def __init__(self, sweep: Sweep, publisher: Publisher, stream: TextIO | None) -> None:
        self._sweep, self._publisher = sweep, publisher
        self._runs = {run.name: run for run in sweep.runs}
        self._failed: dict[str, str] = {}
        self._running: set[str] = set()
        # Runs that are done do not change any more, and are not read again and again.
        self._shares = {run.name: 1.0 for run in sweep.runs if is_finished(run.directory)}
        self._looked = 0.0
        self.display = SweepProgress(self._count({}), stream)

    def note(self, event: Event) -> None:
        """Takes an event of a run's job."""
        if event.kind == "started":
            self._running.add(event.job)
            return
        self._running.discard(event.job)
        if event.kind == "done":
            self._shares[event.job] = 1.0
            self.display.note(f"{event.job}: {self._describe(self._runs[event.job], 'done')}")
            self._looked = 0.0
        else:
            self.display.note(f"{event.job}: {event.message}")

    def fail(self, error: JobError) -> None:
        """Takes the error of a run that is given up."""
        self._running.discard(error.job)
        self._failed[error.job] = " ".join(str(error).split())
        self.display.note(f"{error.job}: failed: {self._failed[error.job]}")

    def look(self) -> None:
        """Reads how far the runs at work are, from time to time, and renews the sweep's files."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        going, lines = {}, []
        for name in sorted(self._running):
            run = self._runs[name]
            going[name] = share_done(self._sweep.file.kind, run, run.rows())
            lines.append(f"{name}: {self._describe(run)}")
        counts = self._count(going)
        self.display.show(counts, lines)
        if self._publisher.is_due:
            self._publisher.renew(self._results(), self._failed, f"Still going on: {counts.describe(None)}.")

    def publish_stopped(self) -> None:
        """Writes the files of a sweep that ends early."""
        outcome = f"Stopped: {self._count({}).describe(None)}; the sweep can be resumed."
        self._publisher.finish(self._results(), self._failed, outcome)

    def end(self) -> Ended:
        """Writes the files of a sweep whose runs have all ended, and returns what to tell of them."""
        results = self._results()
        outcome = f"{len(self._shares)} of {len(self._runs)} runs are done, {len(self._failed)} failed."
        has_report = self._publisher.finish(results, self._failed, outcome)
        lines = describe_results(results, labels_of(self._sweep.cells))
        return Ended(self._failed, lines, has_report)

    def _describe(self, run: SweepRun, state: str = "") -> str:
        """Returns a state, if there is one, and how far the run is."""
        known = describe_progress(self._sweep.file.kind, run, run.rows())
        return ": ".join(filter(None, (state, known))) or "starting"

    def _results(self) -> list[CellResult]:
        return find_results(self._sweep.file.kind, self._sweep.cells, self._sweep.runs, self._failed)

    def _count(self, going: dict[str, float]) -> Counts:
        """Returns the counts, with the shares of the runs at work by name."""
        done = len(self._shares)
        share = (done + len(self._failed) + sum(going.values())) / len(self._runs)
        return Counts(len(self._runs), done, len(self._running), len(self._failed), share)

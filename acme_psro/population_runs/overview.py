"""Overview of several seeds' runs while they go on: one report for all, and their progress on the screen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acme_psro.display import formats
from acme_psro.display.progress import Details, Progress, no_details
from acme_psro.display.seeds_report import SeedProgress, describe_end, write_seeds_report
from acme_psro.population_runs.base import count_iterations
from acme_psro.population_runs.callbacks import Callback
from acme_psro.population_runs.events import (
    IterationEnded,
    IterationStarted,
    RunEnded,
    RunStarted,
    RunStopped,
)
from acme_psro.population_runs.metrics import Row, concept_of, is_known, no_player_gains

# As for the report of one run: see `acme_psro.population_runs.recording`.
_RENEWAL_SECONDS = 10.0
_RENEWAL_SHARE = 0.02


class Overview:
    """The newest rows of several runs, with their report and their progress.

    Args:
      path: the report's file.
      config: the configuration of any of the runs.
      seeds: the seeds.
      progress: the display; None for no display.
      warn: called with one line if the last report cannot be written.
      renewal_seconds: shortest time between two reports while runs go on.
      details: returns lines on what all runs share.

    Attributes:
      is_final: True once the report of the finished runs is written.
    """

    is_final: bool = False

    def __init__(
        self,
        path: Path,
        config: Mapping[str, Any],
        seeds: Sequence[int],
        progress: Progress | None,
        warn: Callable[[str], None],
        renewal_seconds: float = _RENEWAL_SECONDS,
        details: Details = no_details,
    ) -> None:
        self._details = details
        self._path, self._config, self._seeds = path, config, tuple(seeds)
        self._progress, self._warn = progress, warn
        self._rows: dict[int, list[Row]] = {}
        self._outcomes: dict[int, str] = {}
        self._shown = -1
        self._least = self._pause = renewal_seconds
        self._written = time.monotonic()

    def follower(self, seed: int) -> Callback:
        """Returns the callback by which a seed's run tells of its progress."""
        return _Follower(self, seed)

    def update(self, seed: int, rows: Sequence[Row], outcome: str | None = None) -> None:
        """Takes a run's newest rows, shows what all runs have done, and renews the report from time to time.

        Args:
          seed: the run's seed.
          rows: its rows of metrics.
          outcome: one or two sentences on how the run ended; None while it goes on.
        """
        self._rows[seed] = list(rows)
        if outcome is not None:
            self._outcomes[seed] = outcome
        self._show()
        began = time.monotonic()
        if began - self._written >= self._pause:
            self._write(f"Still running: {self._describe_ends()}.")
            self._written = time.monotonic()
            self._pause = max(self._least, (self._written - began) / _RENEWAL_SHARE)

    def say(self, iteration: int, text: str) -> None:
        """Shows what some run is at."""
        if self._progress is not None:
            self._progress.start_iteration(iteration, text, self.lines)

    def lines(self) -> list[str]:
        """Returns one line on each run, and those on what they share."""
        return [*(self._line(seed) for seed in self._seeds), *self._details()]

    def summary(self) -> list[str]:
        """Returns one line on each seed's end, and one on their mean."""
        seeds = self.seeds()
        lines = [f"seed {seed.seed}: {seed.outcome}" for seed in seeds]
        if seeds:
            measure = formats.measure_of(seeds[0].metrics[-1])
            name, figure = formats.name_column(measure), describe_end(seeds, measure)
            mean = f"mean of {len(seeds)} seeds with its 95 % confidence band"
            lines.append(f"{formats.capitalise(name)} {figure}: {mean}.")
        return lines

    def finish(self) -> None:
        """Writes the report of finished runs; one that cannot be written does not harm them."""
        failure = self._write(f"All {len(self._seeds)} seeds are done.")
        self.is_final = failure is None
        if failure is not None:
            self._warn(f"the runs are done, but there is no report of them: {failure}; --resume writes it.")

    def stop(self) -> None:
        """Writes the report of runs that end early."""
        failure = self._write(f"Stopped: {self._describe_ends()}; the runs can be resumed.")
        if failure is not None:
            self._warn(f"there is no report of the seeds: {failure}.")

    def seeds(self) -> list[SeedProgress]:
        """Returns the runs that have begun, as far as all of their rows are known."""
        tolerance, concept = self._config.get("tolerance", 0.0), concept_of(self._config)
        found = []
        for seed in self._seeds:
            rows = [row for row in self._rows.get(seed, ()) if is_known(row)]
            if rows:
                outcome = self._outcomes.get(seed, "still running")
                has_converged = no_player_gains(rows[-1], tolerance, concept)
                found.append(SeedProgress(seed, rows, outcome, has_converged))
        return found

    def _show(self) -> None:
        """Shows the means of iterations that all runs have done, or have ended before."""
        if self._progress is None or len(self._rows) < len(self._seeds):
            return
        going = [len(rows) for seed, rows in self._rows.items() if seed not in self._outcomes]
        done = min(going, default=max(len(rows) for rows in self._rows.values()))
        for index in range(self._shown + 1, done):
            self._progress.update(mean_row([rows[min(index, len(rows) - 1)] for rows in self._rows.values()]))
        self._shown = max(self._shown, done - 1)

    def _line(self, seed: int) -> str:
        rows = self._rows.get(seed)
        if not rows:
            return f"seed {seed}: starting"
        known = next((row for row in reversed(rows) if is_known(row)), rows[-1])
        measure = formats.measure_of(known)
        figure = formats.format_value(known[measure])
        done = count_iterations(int(rows[-1]["iteration"]))
        ended = ", ended" if seed in self._outcomes else ""
        return f"seed {seed}: {done}, {formats.name_column(measure)} {figure}{ended}"

    def _describe_ends(self) -> str:
        done = len(self._outcomes)
        going = [rows[-1]["iteration"] for seed, rows in self._rows.items() if seed not in self._outcomes]
        least = f", the others have done at least {count_iterations(int(min(going)))}" if going else ""
        return f"{done} of {len(self._seeds)} seeds are done{least}"

    def _write(self, outcome: str) -> str | None:
        """Writes the report and returns None, or returns the reason why it cannot be written."""
        seeds = self.seeds()
        if not seeds:
            return None
        try:
            write_seeds_report(self._path, config=self._config, seeds=seeds, outcome=outcome)
        except OSError as error:
            return f"cannot write {error.filename or self._path}: {error.strerror or error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None


class _Follower(Callback):
    """Callback that tells an overview of one run."""

    def __init__(self, overview: Overview, seed: int) -> None:
        self._overview, self._seed = overview, seed

    def on_start(self, event: RunStarted) -> None:
        if event.record is not None:
            self._overview.update(self._seed, event.record.metrics)

    def on_iteration_start(self, event: IterationStarted) -> None:
        self._overview.say(event.iteration, "training best responses of all seeds")

    def on_iteration(self, event: IterationEnded) -> None:
        self._overview.update(self._seed, event.record.metrics)

    def on_end(self, event: RunEnded) -> None:
        self._overview.update(self._seed, event.record.metrics, event.outcome)

    def on_stop(self, event: RunStopped) -> None:
        if event.record is not None:
            self._overview.update(self._seed, event.record.metrics)


def mean_row(rows: Sequence[Row]) -> Row:
    """Returns the means of rows of several seeds, of those values that are known.

    Seconds and iterations are the largest ones: seeds share the time, and some may have ended before.
    """
    mean = {}
    for name in rows[0]:
        values = np.array([row.get(name, math.nan) for row in rows], np.float64)
        known = values[~np.isnan(values)]
        largest = name in ("iteration", "wall_seconds")
        mean[name] = float(known.max() if largest else known.mean()) if len(known) else math.nan
    return mean

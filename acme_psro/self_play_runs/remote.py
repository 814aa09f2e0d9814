"""Self-play runs that are carried out elsewhere, and shown here as the files that come back tell of them."""

from __future__ import annotations

import math
from pathlib import Path

from acme_psro.agent_runs.progress import TRAINING, Progress
from acme_psro.self_play_runs.config import SelfPlayRunConfig
from acme_psro.self_play_runs.job import FINISHED, is_done, make_job, read_rows
from acme_psro.self_play_runs.work import describe_row, steps_done
from acme_psro.system.executors.base import Executor
from acme_psro.system.jobs import Event
from acme_psro.system.supervision import run_all
from acme_psro.system.tables import Row

_STARTING = "waiting for room on the cluster, or starting there"


def carry_out(
    config: SelfPlayRunConfig,
    directory: Path,
    executor: Executor,
    progress: Progress,
    sharing_devices: int = 1,
    poll_seconds: float = 0.5,
) -> Row:
    """Carries a run out as one job, from its newest checkpoint on, and returns its last row of metrics.

    Args:
      config: the run's configuration.
      directory: the run's directory, in which it may begin or go on.
      executor: what carries the job out.
      progress: shows the evaluations and the steps; entered and left here.
      sharing_devices: see `acme_psro.self_play_runs.job.make_job`.
      poll_seconds: seconds between two looks at the job.

    Raises:
      ValueError: the run is refused where it is carried out.
      JobError: it failed for good.
      KeyboardInterrupt: Ctrl-C was pressed, or SIGTERM was received; the run can be resumed.
    """
    if not is_done(config, directory):
        # The run has more steps than before.
        (directory / FINISHED).unlink(missing_ok=True)
    display = _Display(config, directory, progress)
    with progress:
        run_all(
            [make_job(config, directory, sharing_devices)],
            poll_seconds=poll_seconds,
            on_event=display.note,
            on_poll=display.update,
            executor=executor,
        )
        display.update()
    return read_rows(directory)[-1]


class _Display:
    """Display of a job's progress, read from the files that it writes.

    Args:
      config: configuration of the run.
      directory: the run's directory.
      progress: shows the beginning, the evaluations, the steps and the failures.
    """

    def __init__(self, config: SelfPlayRunConfig, directory: Path, progress: Progress) -> None:
        self._settings, self._directory, self._progress = config.to_json(), directory, progress
        rows = read_rows(directory)
        # Evaluations from before the run was resumed are not shown again.
        self._num_shown, self._steps = len(rows), steps_done(self._settings, directory, rows)
        self._changed = self._stamp()
        self._is_begun = False

    def note(self, event: Event) -> None:
        """Shows a failure of the job, and each of its launches."""
        if event.kind == "failed":
            self._progress.note(event.message)
        elif event.kind == "started":
            if not self._is_begun:
                self._is_begun = True
                self._progress.start(self._steps)
            self._progress.enter(_STARTING, announced=True)
            self._changed = self._stamp()

    def update(self) -> None:
        """Shows what has come back since the last call."""
        if self._stamp() == self._changed:
            return
        self._changed = self._stamp()
        rows = read_rows(self._directory)
        # A relaunched run makes the evaluations after its checkpoint again.
        for row in rows[self._num_shown :]:
            self._progress.note(describe_row(self._settings, row))
        self._num_shown = max(self._num_shown, len(rows))
        self._progress.enter(TRAINING)
        self._progress.advance(steps_done(self._settings, self._directory, rows), math.nan)

    def _stamp(self) -> tuple[int, tuple[str, ...]]:
        """Returns values that change with each evaluation and each checkpoint."""
        metrics = self._directory / "metrics.csv"
        names = tuple(sorted(path.name for path in (self._directory / "checkpoints").glob("state_*")))
        return metrics.stat().st_mtime_ns if metrics.exists() else 0, names

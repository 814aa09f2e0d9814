"""Display of a program's progress while it runs as a job."""

from __future__ import annotations

from pathlib import Path

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs import placement
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.curve import CurveFile
from acme_psro.agent_runs.progress import Progress, describe_run
from acme_psro.agent_runs.watch import STARTING, WAITING, ProgramWatch
from acme_psro.system.executors.placing import LOCAL, Placing
from acme_psro.system.jobs import Event


class ProgramDisplay:
    """Display of a program's progress, read from the files that the program writes.

    Args:
      config: configuration of the run.
      directory: output directory of the run.
      progress: shows the start, the evaluations, the steps and the failures.
      placing: the machines on which the program runs.
    """

    def __init__(
        self, config: AgentRunConfig, directory: Path, progress: Progress, placing: Placing = LOCAL
    ) -> None:
        self._config = config
        self._directory = directory
        self._progress, self._is_remote = progress, placing.is_remote
        self._curve = CurveFile(config, directory)
        self._watch = ProgramWatch(directory)
        # Evaluations from before the run was resumed are not shown again.
        self._num_shown = len(self._watch.rows("evaluation"))
        self._is_announced = False

    def note(self, event: Event) -> None:
        """Shows a failure of the program, and follows its next launch."""
        if event.kind == "failed":
            self._progress.note(event.message)
            self._watch.expect_launch()

    def update(self) -> None:
        """Shows the evaluations since the last call, and the current work and number of steps."""
        # The program writes its configuration once it has accepted it.
        if not self._is_announced and not (self._directory / "config.json").exists():
            return
        if not self._is_announced:
            self._is_announced = True
            # The devices of another machine are known there only.
            devices = "a Ray cluster"
            if not self._is_remote:
                devices = placement.foresee_devices(self._config.learner_devices)
            self._progress.note(describe_run(self._config, self._directory, devices))
            self._progress.start(run_directory.newest_checkpoint(self._directory) or 0)
        rows = self._watch.rows("evaluation")
        for row in rows[self._num_shown :]:
            self._progress.show(row)
        if len(rows) > self._num_shown:
            self._curve.renew()
        self._num_shown = len(rows)
        status = self._watch.status()
        self._progress.enter(status.phase, announced=status.phase in (STARTING, WAITING))
        self._progress.advance(status.actor_steps, status.episode_return)

"""The driver of a program on Ray: it starts the parts, watches them, and writes all files of the run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.checkpoints import Checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.ray_program import travelling
from acme_psro.agent_runs.ray_program.acting_parts import Actors
from acme_psro.agent_runs.ray_program.evaluator import Evaluator
from acme_psro.agent_runs.ray_program.learner import Learner
from acme_psro.agent_runs.ray_program.messages import Report
from acme_psro.agent_runs.ray_program.nodes import Nodes
from acme_psro.agent_runs.ray_program.run_files import RunFiles
from acme_psro.system import tables

# Seconds between two reports of the learner.
POLL_SECONDS = 0.25
# Longest time that the learner gets to answer once this process was asked to end.
_LAST_SECONDS = 5.0


class Driver:
    """Parts of one run, and its files.

    Args:
      config: configuration of the run.
      directory: output directory of the run, which `acme_psro.agent_runs.directory.begin` has prepared.
      nodes: places of the parts.
      checkpoints: checkpoints of the run.
    """

    def __init__(
        self, config: AgentRunConfig, directory: Path, nodes: Nodes, checkpoints: Checkpoints
    ) -> None:
        self._config, self._directory = config, directory
        self._files = RunFiles(config, directory, checkpoints)
        state, self._before = self._files.restore()
        self._learner = nodes.start_learner(Learner, config, state, self._before)
        opponents = ray.put(travelling.pack(config))
        self._actors = Actors(config, nodes, self._learner, opponents)
        self._evaluator = nodes.start_evaluator(Evaluator, config, opponents)
        self._evaluation: tuple[Any, dict[str, float]] | None = None
        self._started = self._saved_at = time.monotonic()
        self._due = _next_evaluation(config, directory)

    def run(self) -> None:
        """Runs the program to its end.

        Raises:
          RayActorError: the learner or the evaluator was lost.
          Exception: a part failed. The last good state is saved first.
          SystemExit: this process was asked to end. The state is saved first, if the learner still answers.
        """
        # The first step holds the state while it is compiled, so that a short program could otherwise end
        # without any checkpoint.
        self._save()
        try:
            while not (report := self._report()).has_ended:
                self._actors.tend(report.messages)
                self._files.write_rows(report)
                self._tend_evaluation(report.counts)
                if self._files.is_snapshot_due(report.counts):
                    self._files.write_snapshot(report.counts, ray.get(self._learner.variables.remote()))
                if time.monotonic() - self._saved_at > self._config.checkpoint_seconds:
                    self._save()
                if self._is_at_plateau(report):
                    ray.get(self._learner.end.remote())
                time.sleep(POLL_SECONDS)
            self._end(report)
        except ray.exceptions.RayTaskError as error:
            # The learner holds the state from before the step that diverged.
            self._save()
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except SystemExit:
            # The cluster may be ending as well, and then there is nothing more to save.
            with contextlib.suppress(Exception):
                self._save(_LAST_SECONDS)
            raise
        finally:
            self._files.close()

    def _report(self) -> Report:
        report: Report = ray.get(self._learner.report.remote())
        return report._replace(counts=self._timed(report.counts))

    def _timed(self, counts: Mapping[str, float]) -> dict[str, float]:
        """Returns counts with the seconds of training, those of earlier launches included."""
        seconds = self._before.get("training_seconds", 0.0) + time.monotonic() - self._started
        return {**counts, "training_seconds": seconds}

    def _save(self, seconds: float | None = None) -> None:
        state, counts = ray.get(self._learner.state.remote(), timeout=seconds)
        self._files.save(state, self._timed(counts))
        self._saved_at = time.monotonic()

    def _tend_evaluation(self, counts: Mapping[str, float]) -> None:
        """Writes the row of an evaluation that is done, and asks for the next one that is due."""
        if self._evaluation is not None and ray.wait([self._evaluation[0]], timeout=0)[0]:
            found, columns = self._evaluation
            self._files.write_evaluation(ray.get(found) | columns)
            self._evaluation = None
        steps, period = int(counts.get("actor_steps", 0)), self._config.evaluate_every
        # The evaluation at the last step is not made here, but after the end, from the final checkpoint.
        if self._evaluation is None and self._due <= steps < self._config.actor_steps:
            self._due = (steps // period + 1) * period
            # The variables go from the learner to the evaluator, and not through this process.
            asked = self._evaluator.evaluate.remote(self._learner.variables.remote())
            self._evaluation = (asked, _progress_columns(counts))

    def _is_at_plateau(self, report: Report) -> bool:
        plateau, steps = self._config.plateau, report.counts.get("actor_steps", 0)
        return plateau is not None and run_directory.is_at_plateau(self._directory, plateau, steps)

    def _end(self, report: Report) -> None:
        has_made_all = report.counts.get("actor_steps", 0) >= self._config.actor_steps
        run_directory.write_ending(
            self._directory, report.counts, None if has_made_all else self._config.plateau
        )
        self._files.write_rows(report, is_last=True)
        state, counts = ray.get(self._learner.state.remote())
        self._files.finish(state, self._timed(counts))


def _next_evaluation(config: AgentRunConfig, directory: Path) -> int:
    """Returns the number of steps at which the next evaluation is due; those in the table are made."""
    rows = tables.read(directory / "evaluation.csv")
    period = config.evaluate_every
    return (int(rows[-1]["actor_steps"]) // period + 1) * period if rows else period


def _progress_columns(counts: Mapping[str, float]) -> dict[str, float]:
    """Returns the columns of `evaluation.csv` for steps and times."""
    return {
        "actor_steps": float(counts.get("actor_steps", 0)),
        "gradient_steps": float(counts.get("learner_gradient_steps", 0)),
        "training_seconds": counts["training_seconds"],
        # Evaluations run at the same time as training, so that they take none of its time.
        "evaluation_seconds": 0.0,
    }

"""Files that a program on Ray writes: tables, checkpoints, snapshots and the final policy.

One process writes all of them, so that the other machines need no access to the run's directory.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs import export
from acme_psro.agent_runs.checkpoints import Checkpoints, Saved
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.program import snapshots, starts
from acme_psro.agent_runs.ray_program.messages import Leaves, Report
from acme_psro.agent_runs.rows import SECONDS_BETWEEN_ROWS, RowWriter
from acme_psro.policies import stored


class RunFiles:
    """Files of a run in a game.

    Args:
      config: configuration of the run.
      directory: output directory of the run, which `acme_psro.agent_runs.directory.begin` has prepared.
      checkpoints: checkpoints of the run.
    """

    def __init__(self, config: AgentRunConfig, directory: Path, checkpoints: Checkpoints) -> None:
        self._config, self._directory, self._checkpoints = config, directory, checkpoints
        agent = export.make_core(config)
        self._like = jax.eval_shape(agent.init, jax.random.PRNGKey(0))
        self._variables_form = jax.tree.structure(jax.eval_shape(agent.variables, self._like))
        self._tables: dict[str, RowWriter] = {}
        self._written_at: dict[str, float] = {}
        self._has_started = False
        self._resumed_from = 0.0

    def restore(self) -> tuple[Leaves | None, dict[str, float]]:
        """Returns the leaves of the newest checkpoint's state, or None, and its counts.

        Rows and snapshots that are newer than the checkpoint are removed.
        """
        saved = self._checkpoints.restore(self._like)
        counts = {} if saved is None else saved.counts
        self._resumed_from = counts.get("actor_steps", 0.0)
        run_directory.rewind(self._directory, self._resumed_from)
        snapshots.rewind(self._directory, self._resumed_from)
        return None if saved is None else jax.tree.leaves(saved.state), counts

    def save(self, state: Leaves, counts: Mapping[str, float]) -> None:
        """Writes a checkpoint."""
        whole = jax.tree.unflatten(jax.tree.structure(self._like), state)
        self._checkpoints.save(Saved(whole, {name: float(value) for name, value in counts.items()}))

    def write_rows(self, report: Report, is_last: bool = False) -> None:
        """Writes the newest rows of the tables that have waited long enough.

        Args:
          report: the learner's report.
          is_last: True to write all newest rows now.
        """
        if report.first_step is not None and not self._has_started:
            self._has_started = True
            starts.write_times(self._directory, self._resumed_from, *report.first_step)
        rows = {("actor", number): row for number, row in report.actors.items()}
        if report.learner is not None:
            rows["learner", 0] = report.learner
        for (label, number), row in rows.items():
            name = f"{label}_{number}" if number else label
            if is_last or time.monotonic() - self._written_at.get(name, -1e9) >= SECONDS_BETWEEN_ROWS:
                self._write(name, f"{label}_steps", row)

    def write_evaluation(self, row: Mapping[str, float]) -> None:
        """Writes a row of `evaluation.csv`, unless the program is ending: its last row is made later."""
        if not run_directory.is_ending(self._directory):
            self._write("evaluation", "actor_steps", row)

    def is_snapshot_due(self, counts: Mapping[str, float]) -> bool:
        """Returns True if the policy has learned something and a snapshot of it is due."""
        config, steps = self._config, counts.get("actor_steps", 0.0)
        if not counts.get("learner_gradient_steps"):
            return False
        return snapshots.is_due(self._directory, config.snapshots, steps, config.actor_steps)

    def write_snapshot(self, counts: Mapping[str, float], variables: Leaves) -> None:
        """Writes the policy as a snapshot."""
        whole = jax.tree.unflatten(self._variables_form, variables)
        snapshots.write(self._directory, counts["actor_steps"], export.to_stored(self._config, whole))

    def finish(self, state: Leaves, counts: Mapping[str, float]) -> None:
        """Writes the last checkpoint and the final policy, and marks the run as finished after that."""
        self.save(state, counts)
        stored.write(run_directory.policy_file(self._directory), export.export(self._directory))
        run_directory.finish(self._directory)

    def close(self) -> None:
        """Closes the tables."""
        for table in self._tables.values():
            table.close()

    def _write(self, name: str, steps_key: str, row: Mapping[str, Any]) -> None:
        if name not in self._tables:
            self._tables[name] = RowWriter(self._directory, name, steps_key)
        self._tables[name].write(row)
        self._written_at[name] = time.monotonic()

"""Worker of the learner's node: gradient steps, checkpoints, and the final policy of a program."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import launchpad as lp
from acme import core
from acme.utils import counting

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs import export
from acme_psro.agent_runs.checkpoints import Saved, open_checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.program import snapshots, starts
from acme_psro.agent_runs.program.workers import POLL_SECONDS, reporting
from acme_psro.policies import stored
from agents.acme_layer.learner import CoreLearner

# Time that the last gradient step gets to end. It may be waiting in Reverb for experience that no actor will
# add any more, and nothing can interrupt it then.
_LAST_STEP_SECONDS = 2.0
# Time to wait for the counts. The counter's node may have ended, and then the call does not return.
_CALL_SECONDS = 2.0


class LearnerRunner(core.VariableSource, core.Worker):
    """Runs a learner's gradient steps and saves its checkpoints until the program stops.

    In a game it also writes the configured snapshots of the policy and, if the program stops itself, the
    final policy, each as a file.
    """

    def __init__(
        self, learner: core.Learner, counter: counting.Counter, config: AgentRunConfig, directory: Path
    ) -> None:
        """Restores the learner from the newest checkpoint, or saves its initial state as the first one.

        Args:
          learner: the learner, in its initial state.
          counter: counts of the whole program.
          config: configuration of the run.
          directory: output directory of the run.
        """
        self._learner = learner
        self._counter = counter
        self._config = config
        self._directory = directory
        self._counts: dict[str, float] = {}
        self._resumed_from = 0.0
        self._started = time.monotonic()
        self._made_at = time.time()
        self._error: BaseException | None = None
        self._stopping = threading.Event()
        self._counts_reader: threading.Thread | None = None
        with open_checkpoints(directory / "checkpoints") as checkpoints:
            saved = checkpoints.restore(learner.save())
            if saved is None:
                # The first step holds the state while it is compiled, so a short program could otherwise end
                # without any checkpoint.
                checkpoints.save(self._saved())
        if saved is not None:
            learner.restore(saved.state)
            self._counts = saved.counts
            self._resumed_from = saved.counts.get("actor_steps", 0.0)

    def get_variables(self, names: Sequence[str]) -> list[Any]:
        return self._learner.get_variables(list(names))

    def run(self) -> None:
        """Runs until the program stops.

        The gradient steps run in a separate thread, because a step may wait for experience in C code and
        cannot be cancelled. This thread saves the checkpoints.

        Raises:
          BaseException: any error of a gradient step. The last good state is saved first.
        """
        stepping = threading.Thread(target=self._step, daemon=True)
        with reporting(self._directory), open_checkpoints(self._directory / "checkpoints") as checkpoints:
            stepping.start()
            saved_at = time.monotonic()
            while stepping.is_alive() and not lp.wait_for_stop(POLL_SECONDS):
                self._update_counts()
                if run_directory.is_ending(self._directory):
                    break
                self._take_snapshot()
                if time.monotonic() - saved_at > self._config.checkpoint_seconds:
                    checkpoints.save(self._saved())
                    saved_at = time.monotonic()
            self._stopping.set()
            stepping.join(_LAST_STEP_SECONDS)
            if isinstance(self._learner, CoreLearner):
                self._learner.close()
            checkpoints.save(self._saved())
            # A failed learner must not mark the run as finished, so the error is raised before that.
            if self._error is not None:
                raise self._error
            if run_directory.is_ending(self._directory):
                self._finish()

    def _step(self) -> None:
        try:
            self._learner.step()
            starts.write(self._directory, self._resumed_from, self._made_at)
            while not self._stopping.is_set():
                self._learner.step()
        except BaseException as error:
            self._error = error

    def _take_snapshot(self) -> None:
        """Writes the policy as a snapshot if one is due and the policy has learned something."""
        config, steps = self._config, self._counts.get("actor_steps", 0.0)
        if config.kind != "openspiel" or not self._counts.get("learner_gradient_steps"):
            return
        if snapshots.is_due(self._directory, config.snapshots, steps, config.actor_steps):
            (variables,) = self._learner.get_variables(["policy"])
            snapshots.write(self._directory, steps, export.to_stored(config, variables))

    def _finish(self) -> None:
        if self._config.kind == "openspiel":
            stored.write(run_directory.policy_file(self._directory), export.export(self._directory))
        run_directory.finish(self._directory)
        # A node that ends before the program is stopped counts as lost.
        while not lp.wait_for_stop(POLL_SECONDS):
            pass

    def _update_counts(self) -> None:
        """Reads the counts in a separate thread, so that a lost counter cannot block this thread."""
        if self._counts_reader is None or not self._counts_reader.is_alive():
            self._counts_reader = threading.Thread(target=self._read_counts, daemon=True)
            self._counts_reader.start()
        self._counts_reader.join(_CALL_SECONDS)

    def _read_counts(self) -> None:
        counts = {name: float(value) for name, value in self._counter.get_counts().items()}
        seconds = time.monotonic() - self._started
        self._counts = counts | {"training_seconds": counts.get("training_seconds", 0.0) + seconds}

    def _saved(self) -> Saved:
        return Saved(self._learner.save(), self._counts)

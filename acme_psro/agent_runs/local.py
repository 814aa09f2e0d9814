"""Training in one process: Acme's local layout acts and learns by turns, through Reverb."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
from acme.utils import counting, loggers

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.checkpoints import Checkpoints, Saved, open_checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.evaluation import Row, make_evaluation
from acme_psro.agent_runs.logs import LoggerFactory, TableLogger
from acme_psro.agent_runs.parts import Parts, make_parts
from acme_psro.agent_runs.progress import Progress
from agents.acme_layer.released import LocalAgent, make_local_agent


def train(config: AgentRunConfig, directory: Path, started: float, progress: Progress) -> None:
    """Trains from the beginning, or from the newest checkpoint in the directory.

    Args:
      config: what to train, and for how long.
      directory: where checkpoints, tables and events go.
      started: `time.monotonic()` when the process began.
      progress: is shown what happens.

    Raises:
      ValueError: something that is not allowed, before anything is trained.
      DivergedError, NonFiniteError: learning or environment left the finite numbers; a checkpoint of the
        last good state is kept.
    """
    parts = make_parts(config)
    run_directory.begin(directory, config)
    counter = counting.Counter(time_delta=0.0)
    acting = _make_agent(config, directory, parts, counter)
    with open_checkpoints(directory / "checkpoints") as checkpoints:
        saved = checkpoints.restore(acting.learner.save())
        if saved is not None:
            acting.learner.restore(saved.state)
            counter.increment(**saved.counts)
        run = _Run(config, directory, parts, checkpoints, acting, counter, started)
        progress.start(run.actor_steps)
        try:
            run.train(progress)
        except BaseException:
            # Where Ctrl-C came while the state was being replaced, earlier checkpoints have to do.
            with contextlib.suppress(RuntimeError):
                run.save()
            raise


def _make_agent(
    config: AgentRunConfig, directory: Path, parts: Parts, counter: counting.Counter
) -> LocalAgent:
    """Acme's agent, without what its Reverb server says and leaves in the temporary directory."""
    with tempfile.TemporaryDirectory(prefix="run_agent_") as scratch, _without_stderr():
        before, tempfile.tempdir = tempfile.tempdir, scratch
        try:
            return make_local_agent(
                parts.agent.builder,
                parts.agent.network_factory,
                parts.spec,
                config.seed,
                logger_fn=LoggerFactory(directory),
                counter=counter,
                in_process=config.replay == "in_process",
            )
        finally:
            tempfile.tempdir = before


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Keeps silent what writes to standard error past Python."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class _Run:
    """The parts of a run, and how far it is."""

    def __init__(
        self,
        config: AgentRunConfig,
        directory: Path,
        parts: Parts,
        checkpoints: Checkpoints,
        acting: LocalAgent,
        counter: counting.Counter,
        started: float,
    ) -> None:
        self._config = config
        self._directory = directory
        self._checkpoints = checkpoints
        self._acting = acting
        self._counter = counter
        run_directory.rewind(directory, self.actor_steps)
        environment, spec, agent = parts
        self._evaluate = make_evaluation(config, agent, spec, acting.learner)
        self._clock = _Clock(started, counter.get_counts())
        actor_counter = counting.Counter(counter, "actor", time_delta=0.0)
        self._loop = acme.EnvironmentLoop(environment, acting, actor_counter, loggers.NoOpLogger())
        self._episodes = LoggerFactory(directory)("actor", "actor_steps")
        self._evaluations = TableLogger(directory, "evaluation", "actor_steps")
        self._saved_at = time.monotonic()
        self._at_plateau = self._is_at_plateau()

    @property
    def actor_steps(self) -> int:
        """Decisions made so far."""
        return int(self._counter.get_counts().get("actor_steps", 0))

    def train(self, progress: Progress) -> None:
        """Goes on to the end: all steps made, or a plateau."""
        config = self._config
        due = (self.actor_steps // config.evaluate_every + 1) * config.evaluate_every
        while not self._has_ended():
            result = self._loop.run_episode()
            self._episodes.write(result)
            progress.advance(self.actor_steps, float(result["episode_return"]))
            if self.actor_steps >= min(due, config.actor_steps):
                due = (self.actor_steps // config.evaluate_every + 1) * config.evaluate_every
                progress.show(self._write_evaluation())
                self.save()
            elif time.monotonic() - self._saved_at > config.checkpoint_seconds:
                self.save()
        if run_directory.evaluated_at(self._directory) < self.actor_steps:
            # The run was stopped at its last evaluation, or between two that are enough for another plateau.
            progress.show(self._write_evaluation())
        if self.actor_steps < config.actor_steps:
            progress.note(f"ended at a plateau after {self.actor_steps:,} steps")

    def _has_ended(self) -> bool:
        return self._at_plateau or self.actor_steps >= self._config.actor_steps

    def _is_at_plateau(self) -> bool:
        plateau = self._config.plateau
        return plateau is not None and run_directory.is_at_plateau(self._directory, plateau)

    def save(self) -> None:
        """Writes a checkpoint."""
        counts = {name: float(value) for name, value in self._counter.get_counts().items()}
        self._checkpoints.save(Saved(self._acting.learner.save(), counts | self._clock.read()))
        self._saved_at = time.monotonic()

    def _write_evaluation(self) -> Row:
        row = self._clock.leave_out(self._evaluate)
        counts = self._counter.get_counts()
        row |= {
            "actor_steps": float(counts["actor_steps"]),
            "gradient_steps": float(counts.get("learner_gradient_steps", 0)),
            **self._clock.read(),
        }
        self._evaluations.write(row)
        self._at_plateau = self._is_at_plateau()
        return row


class _Clock:
    """Seconds of training and of evaluations, which stand apart; over all processes of a run."""

    def __init__(self, started: float, before: dict[str, float]) -> None:
        self._started = started
        self._before = before
        self._left_out = 0.0

    def leave_out(self, evaluate: Callable[[], Row]) -> Row:
        """Calls what is no training."""
        began = time.monotonic()
        row = evaluate()
        self._left_out += time.monotonic() - began
        return row

    def read(self) -> dict[str, float]:
        """Both times so far."""
        training = time.monotonic() - self._started - self._left_out
        return {
            "training_seconds": self._before.get("training_seconds", 0.0) + training,
            "evaluation_seconds": self._before.get("evaluation_seconds", 0.0) + self._left_out,
        }

"""Training in one process. Acme's local layout alternates between acting and learning, through its replay."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import jax
from acme import core
from acme.utils import counting, loggers

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs import export, placement
from acme_psro.agent_runs.checkpoints import Checkpoints, Saved, open_checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.curve import CurveFile
from acme_psro.agent_runs.evaluation import Row, make_evaluation
from acme_psro.agent_runs.logs import LoggerFactory, TableLogger
from acme_psro.agent_runs.parts import Parts, make_parts, make_replay
from acme_psro.agent_runs.progress import Progress, describe_run
from acme_psro.policies import stored
from acme_psro.system.streams import quiet_stderr
from agents.acme_layer.released import LocalAgent, make_local_agent
from agents.devices import describe_split


def train(config: AgentRunConfig, directory: Path, started: float, progress: Progress) -> None:
    """Trains the agent from the beginning, or from the newest checkpoint in the directory.

    Args:
      config: configuration of the run.
      directory: output directory, to which checkpoints, tables and events are written.
      started: `time.monotonic()` when the process began.
      progress: display to which the run reports its progress.

    Raises:
      ValueError: a value of the configuration is not allowed. This is raised before training begins.
      DivergedError, NonFiniteError: the learner or the environment produced numbers that are not finite. A
        checkpoint of the last good state is kept.
    """
    parts = make_parts(config)
    run_directory.begin(directory, config)
    counter = counting.Counter(time_delta=0.0)
    with (
        contextlib.closing(LoggerFactory(directory)) as make_logger,
        open_checkpoints(directory / "checkpoints") as checkpoints,
    ):
        acting = _make_agent(config, make_logger, parts, counter)
        _announce(config, directory, acting.learner, progress)
        saved = checkpoints.restore(acting.learner.save())
        if saved is not None:
            acting.learner.restore(saved.state)
            counter.increment(**saved.counts)
        else:
            # So that the first row of every table has this column, by which rows are dropped on a resumption.
            counter.increment(actor_steps=0)
        run = _Run(config, directory, parts, checkpoints, acting, counter, make_logger, started)
        progress.start(run.actor_steps)
        acting.first_step_inside(progress.compiling)
        try:
            run.train(progress)
        except BaseException:
            # If Ctrl-C arrived while the learner replaced its state, this state cannot be saved, and the run
            # resumes from an earlier checkpoint.
            with contextlib.suppress(RuntimeError):
                run.save()
            raise
    if config.kind == "openspiel":
        stored.write(run_directory.policy_file(directory), export.export(directory))


def _announce(config: AgentRunConfig, directory: Path, learner: core.Learner, progress: Progress) -> None:
    """Shows what is run, where, and on which devices."""
    used, available = getattr(learner, "devices", ()), len(jax.local_devices())
    devices = placement.name_devices([device.device_kind for device in used])
    progress.note(describe_run(config, directory, devices))
    if len(used) < available:
        replay = make_replay(config)
        rows = replay.batch_size // replay.sequence_length
        progress.note(f"{describe_split(len(used), available, rows)}.")


def _make_agent(
    config: AgentRunConfig, make_logger: LoggerFactory, parts: Parts, counter: counting.Counter
) -> LocalAgent:
    """Makes Acme's agent, and hides the messages and the temporary files of its Reverb server."""
    with (
        tempfile.TemporaryDirectory(prefix="run_agent_") as scratch,
        quiet_stderr(),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        before, tempfile.tempdir = tempfile.tempdir, scratch
        try:
            return make_local_agent(
                parts.agent.builder,
                parts.agent.network_factory,
                parts.spec,
                config.seed,
                logger_fn=make_logger,
                counter=counter,
                in_process=config.replay == "in_process",
            )
        finally:
            tempfile.tempdir = before


class _Run:
    """A run in this process, with its current progress."""

    def __init__(
        self,
        config: AgentRunConfig,
        directory: Path,
        parts: Parts,
        checkpoints: Checkpoints,
        acting: LocalAgent,
        counter: counting.Counter,
        make_logger: LoggerFactory,
        started: float,
    ) -> None:
        """Removes the rows of tables that are newer than the restored state, and opens the tables.

        Args:
          config: configuration of the run.
          directory: output directory of the run.
          parts: components of the run.
          checkpoints: checkpoints of the run.
          acting: the agent that acts and learns, with its state already restored.
          counter: counts of the whole run, those of the restored checkpoint included.
          make_logger: makes the loggers of the run.
          started: `time.monotonic()` when the process began.
        """
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
        self._episodes = make_logger("actor", "actor_steps")
        self._evaluations = TableLogger(directory, "evaluation", "actor_steps")
        self._curve = CurveFile(config, directory)
        self._saved_at = time.monotonic()
        self._at_plateau = self._is_at_plateau()

    @property
    def actor_steps(self) -> int:
        """Number of decisions made so far."""
        return int(self._counter.get_counts().get("actor_steps", 0))

    def train(self, progress: Progress) -> None:
        """Trains until all steps are made or the evaluations reach a plateau."""
        config = self._config
        due = (self.actor_steps // config.evaluate_every + 1) * config.evaluate_every
        progress.enter("collecting experience")
        while not self._has_ended():
            result = self._loop.run_episode()
            self._episodes.write(result)
            progress.advance(self.actor_steps, float(result["episode_return"]))
            if self.actor_steps >= min(due, config.actor_steps):
                due = (self.actor_steps // config.evaluate_every + 1) * config.evaluate_every
                self._evaluate_and_show(progress)
                self.save()
            elif time.monotonic() - self._saved_at > config.checkpoint_seconds:
                self.save()
        if run_directory.evaluated_at(self._directory) < self.actor_steps:
            # A resumed run may be at its end before any episode: if it was stopped during its last evaluation
            # or if the evaluations so far show a plateau under a changed criterion.
            self._evaluate_and_show(progress)
        if self.actor_steps < config.actor_steps:
            progress.note(f"ended at a plateau after {self.actor_steps:,} steps")

    def _has_ended(self) -> bool:
        return self._at_plateau or self.actor_steps >= self._config.actor_steps

    def _is_at_plateau(self) -> bool:
        plateau = self._config.plateau
        return plateau is not None and run_directory.is_at_plateau(self._directory, plateau)

    def save(self) -> None:
        """Writes a checkpoint of the learner and the counts."""
        counts = {name: float(value) for name, value in self._counter.get_counts().items()}
        self._checkpoints.save(Saved(self._acting.learner.save(), counts | self._clock.read()))
        self._saved_at = time.monotonic()

    def _evaluate_and_show(self, progress: Progress) -> None:
        with progress.during("evaluating"):
            row = self._write_evaluation()
        progress.show(row)
        with self._clock.evaluating():
            self._curve.renew()

    def _write_evaluation(self) -> Row:
        with self._clock.evaluating():
            row = self._evaluate()
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
    """Clock that measures the times of training and of evaluation separately, over all processes of a run.

    Args:
      started: `time.monotonic()` when this process began.
      before: counts of the checkpoint, with the times of earlier processes; empty for a new run.
    """

    def __init__(self, started: float, before: dict[str, float]) -> None:
        self._started = started
        self._before = before
        self._evaluating = 0.0

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Counts the time inside as time of evaluation."""
        began = time.monotonic()
        yield
        self._evaluating += time.monotonic() - began

    def read(self) -> dict[str, float]:
        """Returns both times so far, in seconds, by name."""
        training = time.monotonic() - self._started - self._evaluating
        return {
            "training_seconds": self._before.get("training_seconds", 0.0) + training,
            "evaluation_seconds": self._before.get("evaluation_seconds", 0.0) + self._evaluating,
        }

"""Training in one process: Acme's local layout acts and learns by turns, through Reverb."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import agents.acme_compat  # noqa: F401

# isort: split

import acme
from acme.utils import counting, loggers

from agents.released_acme import make_local_agent
from experiments.agent_runs import directory as run_directory
from experiments.agent_runs.checkpoints import Checkpoints, Saved, open_checkpoints
from experiments.agent_runs.config import AgentRunConfig
from experiments.agent_runs.evaluation import Row, make_evaluation
from experiments.agent_runs.logs import LoggerFactory, TableLogger
from experiments.agent_runs.parts import Parts, make_parts
from experiments.agent_runs.progress import Progress


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
    with open_checkpoints(directory / "checkpoints") as checkpoints:
        run = _Run(config, directory, parts, checkpoints, started)
        progress.start(run.actor_steps)
        try:
            run.train(progress)
        finally:
            run.save()


class _Run:
    """The parts of a run, and how far it is."""

    def __init__(
        self,
        config: AgentRunConfig,
        directory: Path,
        parts: Parts,
        checkpoints: Checkpoints,
        started: float,
    ) -> None:
        self._config = config
        self._checkpoints = checkpoints
        self._counter = counting.Counter(time_delta=0.0)
        environment, spec, agent = parts
        make_logger = LoggerFactory(directory)
        self._acting = make_local_agent(
            agent.builder,
            agent.network_factory,
            spec,
            config.seed,
            logger_fn=make_logger,
            counter=self._counter,
            in_process=config.replay == "in_process",
        )
        saved = checkpoints.restore(self._acting.learner.save())
        if saved is not None:
            self._acting.learner.restore(saved.state)
            self._counter.increment(**saved.counts)
        run_directory.rewind(directory, self.actor_steps)
        self._evaluate = make_evaluation(config, agent, spec, self._acting.learner)
        self._clock = _Clock(started, self._counter.get_counts())
        actor_counter = counting.Counter(self._counter, "actor", time_delta=0.0)
        self._loop = acme.EnvironmentLoop(environment, self._acting, actor_counter, loggers.NoOpLogger())
        self._episodes = make_logger("actor", "actor_steps")
        self._evaluations = TableLogger(directory, "evaluation", "actor_steps")
        self._saved_at = time.monotonic()

    @property
    def actor_steps(self) -> int:
        """Decisions made so far."""
        return int(self._counter.get_counts().get("actor_steps", 0))

    def train(self, progress: Progress) -> None:
        """Goes on to the end."""
        config = self._config
        due = (self.actor_steps // config.evaluate_every + 1) * config.evaluate_every
        while self.actor_steps < config.actor_steps:
            result = self._loop.run_episode()
            self._episodes.write(result)
            progress.advance(self.actor_steps, float(result["episode_return"]))
            if self.actor_steps >= min(due, config.actor_steps):
                due = (self.actor_steps // config.evaluate_every + 1) * config.evaluate_every
                progress.show(self._write_evaluation())
                self.save()
            elif time.monotonic() - self._saved_at > config.checkpoint_seconds:
                self.save()

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

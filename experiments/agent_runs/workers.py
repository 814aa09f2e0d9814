"""What the nodes of a program run, until it stops; and how they say why they failed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import agents.acme_compat  # noqa: F401

# isort: split

import acme
import launchpad as lp
from acme import core
from acme.utils import counting, signals

from experiments.agent_runs import directory as run_directory
from experiments.agent_runs import tables
from experiments.agent_runs.checkpoints import Saved, open_checkpoints
from experiments.agent_runs.config import AgentRunConfig
from experiments.agent_runs.evaluation import Row
from experiments.agent_runs.logs import TableLogger

_POLL_SECONDS = 1.0
# The learner may wait for experience that nobody will bring any more; nothing can interrupt it then.
_LAST_STEP_SECONDS = 2.0


class LearnerRunner(core.VariableSource, core.Worker):
    """Steps a learner and keeps its checkpoints, until the program stops."""

    def __init__(
        self, learner: core.Learner, counter: counting.Counter, config: AgentRunConfig, directory: Path
    ) -> None:
        self._learner = learner
        self._counter = counter
        self._period = config.checkpoint_seconds
        self._directory = directory
        self._counts: dict[str, float] = {}
        self._started = time.monotonic()
        self._error: BaseException | None = None
        self._stopping = threading.Event()
        with open_checkpoints(directory / "checkpoints") as checkpoints:
            saved = checkpoints.restore(learner.save())
            if saved is None:
                # The first step is compiled while it holds the state: a short program may end before.
                checkpoints.save(self._saved())
        if saved is not None:
            learner.restore(saved.state)
            self._counts = saved.counts

    def get_variables(self, names: Sequence[str]) -> list[Any]:
        return self._learner.get_variables(list(names))

    def run(self) -> None:
        """Steps in a thread of its own: a step may wait in C for experience, and cannot be called off."""
        stepping = threading.Thread(target=self._step, daemon=True)
        with reporting(self._directory), open_checkpoints(self._directory / "checkpoints") as checkpoints:
            stepping.start()
            saved_at = time.monotonic()
            while stepping.is_alive() and not lp.wait_for_stop(_POLL_SECONDS):
                self._counts = self._read_counts()
                if time.monotonic() - saved_at > self._period:
                    checkpoints.save(self._saved())
                    saved_at = time.monotonic()
            self._stopping.set()
            stepping.join(_LAST_STEP_SECONDS)
            checkpoints.save(self._saved())
            if self._error is not None:
                raise self._error

    def _step(self) -> None:
        try:
            while not self._stopping.is_set():
                self._learner.step()
        except BaseException as error:
            self._error = error

    def _read_counts(self) -> dict[str, float]:
        counts = {name: float(value) for name, value in self._counter.get_counts().items()}
        seconds = time.monotonic() - self._started
        return counts | {"training_seconds": counts.get("training_seconds", 0.0) + seconds}

    def _saved(self) -> Saved:
        return Saved(self._learner.save(), self._counts)


class ReportingLoop(core.Worker):
    """Runs an environment loop and says why it failed."""

    def __init__(self, loop: acme.EnvironmentLoop, directory: Path) -> None:
        self._loop = loop
        self._directory = directory

    def run(self) -> None:
        with reporting(self._directory):
            self._loop.run()


class StepsLimiter(core.Worker):
    """Stops the program when the actors have made their steps."""

    def __init__(self, counter: counting.Counter, max_actor_steps: int, directory: Path) -> None:
        self._counter = counter
        self._max_actor_steps = max_actor_steps
        self._directory = directory

    def run(self) -> None:
        while not lp.wait_for_stop(_POLL_SECONDS):
            counts = self._counter.get_counts()
            if counts.get("actor_steps", 0) >= self._max_actor_steps:
                run_directory.write_finished(self._directory, counts)
                lp.stop()
                return


class Evaluator(core.Worker):
    """Writes `evaluation.csv` while the program runs.

    Args:
      config: of the run.
      directory: of the run.
      counter: of the whole program.
      make_evaluation: makes what evaluates the newest policy.
    """

    def __init__(
        self,
        config: AgentRunConfig,
        directory: Path,
        counter: counting.Counter,
        make_evaluation: Callable[[], Callable[[], Row]],
    ) -> None:
        self._config = config
        self._directory = directory
        self._counter = counter
        self._make_evaluation = make_evaluation

    def run(self) -> None:
        period = self._config.evaluate_every
        with reporting(self._directory), signals.runtime_terminator():
            evaluate = self._make_evaluation()
            table = TableLogger(self._directory, "evaluation", "actor_steps")
            # A run that goes on has evaluated itself before.
            rows = tables.read(self._directory / "evaluation.csv")
            due = (int(rows[-1]["actor_steps"]) // period + 1) * period if rows else period
            started = time.monotonic()
            while not lp.wait_for_stop(_POLL_SECONDS):
                counts = self._counter.get_counts()
                steps = int(counts.get("actor_steps", 0))
                if due <= steps < self._config.actor_steps:
                    due = (steps // period + 1) * period
                    table.write(evaluate() | times(counts, time.monotonic() - started))


def times(counts: dict[str, float], seconds: float) -> dict[str, float]:
    """The columns of `evaluation.csv` that say when."""
    return {
        "actor_steps": float(counts.get("actor_steps", 0)),
        "gradient_steps": float(counts.get("learner_gradient_steps", 0)),
        "training_seconds": counts.get("training_seconds", 0.0) + seconds,
        "evaluation_seconds": 0.0,
    }


@contextlib.contextmanager
def reporting(directory: Path) -> Iterator[None]:
    """Leaves the first error inside for whoever started the program."""
    try:
        yield
    except Exception as error:
        run_directory.write_failure(directory, error)
        raise

"""Workers that the nodes of a program run until it stops, and their records of failures."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import launchpad as lp
from acme import core
from acme.utils import counting, signals

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs import export
from acme_psro.agent_runs.checkpoints import Saved, open_checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.evaluation import Row
from acme_psro.agent_runs.logs import TableLogger
from acme_psro.agent_runs.plateau import Plateau
from acme_psro.agent_runs.program import starts
from acme_psro.policies import stored
from acme_psro.system import tables

_POLL_SECONDS = 1.0
# The learner may wait for experience that nobody will bring any more; nothing can interrupt it then. Nor a
# call to a node that has ended.
_LAST_STEP_SECONDS = 2.0
_CALL_SECONDS = 2.0


class LearnerRunner(core.VariableSource, core.Worker):
    """Steps a learner and keeps its checkpoints, until the program stops.

    Where the program stops itself, the policy of a game is left as a file, too.
    """

    def __init__(
        self, learner: core.Learner, counter: counting.Counter, config: AgentRunConfig, directory: Path
    ) -> None:
        self._learner = learner
        self._counter = counter
        self._config = config
        self._directory = directory
        self._counts: dict[str, float] = {}
        self._begun_at = 0.0
        self._started = time.monotonic()
        self._made_at = time.time()
        self._error: BaseException | None = None
        self._stopping = threading.Event()
        self._reading: threading.Thread | None = None
        with open_checkpoints(directory / "checkpoints") as checkpoints:
            saved = checkpoints.restore(learner.save())
            if saved is None:
                # The first step is compiled while it holds the state: a short program may end before.
                checkpoints.save(self._saved())
        if saved is not None:
            learner.restore(saved.state)
            self._counts = saved.counts
            self._begun_at = saved.counts.get("actor_steps", 0.0)

    def get_variables(self, names: Sequence[str]) -> list[Any]:
        return self._learner.get_variables(list(names))

    def run(self) -> None:
        """Steps in a thread of its own: a step may wait in C for experience, and cannot be called off."""
        stepping = threading.Thread(target=self._step, daemon=True)
        with reporting(self._directory), open_checkpoints(self._directory / "checkpoints") as checkpoints:
            stepping.start()
            saved_at = time.monotonic()
            while stepping.is_alive() and not lp.wait_for_stop(_POLL_SECONDS):
                self._update_counts()
                if run_directory.is_ending(self._directory):
                    break
                if time.monotonic() - saved_at > self._config.checkpoint_seconds:
                    checkpoints.save(self._saved())
                    saved_at = time.monotonic()
            self._stopping.set()
            stepping.join(_LAST_STEP_SECONDS)
            checkpoints.save(self._saved())
            if self._error is not None:
                raise self._error
            if run_directory.is_ending(self._directory):
                self._finish()

    def _step(self) -> None:
        try:
            self._learner.step()
            starts.write(self._directory, self._begun_at, self._made_at)
            while not self._stopping.is_set():
                self._learner.step()
        except BaseException as error:
            self._error = error

    def _finish(self) -> None:
        if self._config.kind == "openspiel":
            stored.write(run_directory.policy_file(self._directory), export.export(self._directory))
        run_directory.finish(self._directory)
        # Whoever ends before the program is stopped is taken for lost.
        while not lp.wait_for_stop(_POLL_SECONDS):
            pass

    def _update_counts(self) -> None:
        if self._reading is None or not self._reading.is_alive():
            self._reading = threading.Thread(target=self._read_counts, daemon=True)
            self._reading.start()
        self._reading.join(_CALL_SECONDS)

    def _read_counts(self) -> None:
        counts = {name: float(value) for name, value in self._counter.get_counts().items()}
        seconds = time.monotonic() - self._started
        self._counts = counts | {"training_seconds": counts.get("training_seconds", 0.0) + seconds}

    def _saved(self) -> Saved:
        return Saved(self._learner.save(), self._counts)


class ReportingLoop(core.Worker):
    """Runs an environment loop in a thread of its own and says why it failed.

    Signals come to the main thread, and Reverb's writer crashes the process where one comes while it waits.
    """

    def __init__(self, loop: acme.EnvironmentLoop, directory: Path) -> None:
        self._loop = loop
        self._directory = directory

    def run(self) -> None:
        with reporting(self._directory):
            acting = concurrent.futures.Future[None]()
            thread = threading.Thread(target=self._act, args=(acting,), daemon=True)
            thread.start()
            acting.result()

    def _act(self, acting: concurrent.futures.Future[None]) -> None:
        try:
            acting.set_result(self._loop.run())
        except BaseException as error:
            acting.set_exception(error)


class StepsLimiter(core.Worker):
    """Stops the program when the actors have made their steps or, earlier, at a plateau.

    Args:
      counter: of the whole program.
      max_actor_steps: the budget.
      directory: of the run.
      plateau: of the evaluations, that ends the run; None: none does.
    """

    def __init__(
        self,
        counter: counting.Counter,
        max_actor_steps: int,
        directory: Path,
        plateau: Plateau | None = None,
    ) -> None:
        self._counter = counter
        self._max_actor_steps = max_actor_steps
        self._directory = directory
        self._plateau = plateau

    def run(self) -> None:
        with reporting(self._directory):
            while not lp.wait_for_stop(_POLL_SECONDS):
                counts = self._counter.get_counts()
                steps = counts.get("actor_steps", 0)
                has_made_all = steps >= self._max_actor_steps
                if has_made_all or self._is_at_plateau(steps):
                    # The learner has all the time it needs to save; once told to stop, nodes have little.
                    run_directory.write_ending(
                        self._directory, counts, None if has_made_all else self._plateau
                    )
                    while not (
                        run_directory.has_finished(self._directory) or lp.wait_for_stop(_POLL_SECONDS)
                    ):
                        pass
                    lp.stop()
                    return

    def _is_at_plateau(self, steps: float) -> bool:
        plateau = self._plateau
        return plateau is not None and run_directory.is_at_plateau(self._directory, plateau, steps)


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
            # Made when it is needed: at the start others are in more of a hurry.
            make = functools.cache(self._make_evaluation)
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
                    row = make()() | times(counts, time.monotonic() - started)
                    # The last one is made when the program has ended.
                    if not run_directory.is_ending(self._directory):
                        table.write(row)


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

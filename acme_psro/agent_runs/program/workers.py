"""Workers of the actors, the evaluator and the coordinator of a program, and the report of their failures.

The learner's worker is in `acme_psro.agent_runs.program.learning`.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import launchpad as lp
from acme import core
from acme.utils import counting, signals

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.evaluation import Row
from acme_psro.agent_runs.logs import TableLogger
from acme_psro.agent_runs.plateau import Plateau
from acme_psro.system import tables

# Interval at which workers check whether the program stops.
POLL_SECONDS = 1.0


class ReportingLoop(core.Worker):
    """Runs an environment loop and records the error if it fails.

    The loop runs in a separate thread. Signals arrive in the main thread, and Reverb's writer would crash the
    process if a signal arrived while it waits.

    Args:
      loop: the environment loop.
      directory: output directory of the run.
    """

    def __init__(self, loop: acme.EnvironmentLoop, directory: Path) -> None:
        self._loop = loop
        self._directory = directory

    def run(self) -> None:
        """Runs the loop until it ends, and raises its error if it fails."""
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
    """Stops the program when the actors have made all their steps or, earlier, at a plateau.

    Args:
      counter: counts of the whole program.
      max_actor_steps: number of actor steps after which the program stops.
      directory: output directory of the run.
      plateau: criterion that stops the program earlier, or None.
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
        """Watches the counts and the evaluations until the program stops."""
        with reporting(self._directory):
            while not lp.wait_for_stop(POLL_SECONDS):
                counts = self._counter.get_counts()
                steps = counts.get("actor_steps", 0)
                has_made_all = steps >= self._max_actor_steps
                if has_made_all or self._is_at_plateau(steps):
                    # The learner saves everything before the nodes are stopped: after that, a node has only
                    # a few seconds.
                    run_directory.write_ending(
                        self._directory, counts, None if has_made_all else self._plateau
                    )
                    while not (run_directory.has_finished(self._directory) or lp.wait_for_stop(POLL_SECONDS)):
                        pass
                    lp.stop()
                    return

    def _is_at_plateau(self, steps: float) -> bool:
        plateau = self._plateau
        return plateau is not None and run_directory.is_at_plateau(self._directory, plateau, steps)


class Evaluator(core.Worker):
    """Evaluates the newest policy whenever an evaluation is due, and writes `evaluation.csv`.

    Args:
      config: configuration of the run.
      directory: output directory of the run.
      counter: counts of the whole program.
      make_evaluation: makes the function that evaluates the newest policy.
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
        """Evaluates once for each period of `evaluate_every` steps that has passed, until the program stops.

        The evaluation at the last step is not made here. It is made after the end of the program, from the
        final checkpoint.
        """
        period = self._config.evaluate_every
        with reporting(self._directory), signals.runtime_terminator():
            # Made at the first evaluation and not now, because the learner and the actors need the processor
            # while the program starts.
            make = functools.cache(self._make_evaluation)
            table = TableLogger(self._directory, "evaluation", "actor_steps")
            # The rows from before a run was resumed count as evaluations that are already made.
            rows = tables.read(self._directory / "evaluation.csv")
            due = (int(rows[-1]["actor_steps"]) // period + 1) * period if rows else period
            started = time.monotonic()
            while not lp.wait_for_stop(POLL_SECONDS):
                counts = self._counter.get_counts()
                steps = int(counts.get("actor_steps", 0))
                if due <= steps < self._config.actor_steps:
                    due = (steps // period + 1) * period
                    row = make()() | _progress_columns(counts, time.monotonic() - started)
                    # The program may have begun to stop during the evaluation. Its last row must be the
                    # evaluation of the final checkpoint.
                    if not run_directory.is_ending(self._directory):
                        table.write(row)


def _progress_columns(counts: dict[str, float], seconds: float) -> dict[str, float]:
    """Returns the columns of `evaluation.csv` for steps and times.

    Args:
      counts: counts of the whole program. Its `training_seconds` are those of earlier launches.
      seconds: time since this launch began.
    """
    return {
        "actor_steps": float(counts.get("actor_steps", 0)),
        "gradient_steps": float(counts.get("learner_gradient_steps", 0)),
        "training_seconds": counts.get("training_seconds", 0.0) + seconds,
        # Evaluations run at the same time as training, so they do not take any of its time.
        "evaluation_seconds": 0.0,
    }


@contextlib.contextmanager
def reporting(directory: Path) -> Iterator[None]:
    """Records the first error inside in `failure.json`, for the process that launched the program.

    Args:
      directory: output directory of the run.

    Raises:
      Exception: any error inside is raised again.
    """
    try:
        yield
    except Exception as error:
        run_directory.write_failure(directory, error)
        raise

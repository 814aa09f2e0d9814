"""A run of one agent as a Launchpad program: replay, counter, learner, actors and an evaluator.

The nodes are those of Acme's distributed layout, made to keep our checkpoints, to say why they failed and
to end by themselves. Node functions live in this module, so that a process that unpickles one imports
`agents.acme_compat` before Acme.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import agents.acme_compat  # noqa: F401

# isort: split

import acme
import dm_env
import launchpad as lp
import reverb
from acme import core
from acme.utils import counting, signals

from agents.core import Key
from agents.released_acme import DistributedLayout
from experiments.agent_runs import directory as run_directory
from experiments.agent_runs import tables
from experiments.agent_runs.checkpoints import Saved, open_checkpoints
from experiments.agent_runs.config import AgentRunConfig
from experiments.agent_runs.evaluation import make_evaluation
from experiments.agent_runs.logs import LoggerFactory, TableLogger
from experiments.agent_runs.parts import Parts, make_agent
from experiments.environments import make_environment

_POLL_SECONDS = 1.0
# The learner may wait for experience that nobody will bring any more; nothing can interrupt it then.
_LAST_STEP_SECONDS = 2.0
# Acting is for one row at a time, and accelerators are the learner's.
ON_CPU = {
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def make_program(config: AgentRunConfig, parts: Parts, directory: Path) -> lp.Program:
    """The program of a run; the directory must have been begun."""
    return AgentLayout(config, parts, directory).build(name=config.agent)


class AgentLayout(DistributedLayout):
    """Acme's distributed layout for a configured run."""

    def __init__(self, config: AgentRunConfig, parts: Parts, directory: Path) -> None:
        super().__init__(
            parts.agent.builder,
            parts.agent.network_factory,
            EnvironmentFactory(config),
            config.seed,
            config.num_actors,
            environment_spec=parts.spec,
            logger_fn=LoggerFactory(directory),
            evaluate=False,
            max_number_of_steps=config.actor_steps,
        )
        self._config = config
        self._directory = directory
        self._evaluator_factories = [self.evaluator]

    def replay(self) -> list[reverb.Table]:
        # A method of Acme's class would bring Acme in before `agents.acme_compat`.
        return super().replay()

    def counter(self) -> counting.Counter:
        """Counts of the whole run, those of the run that it goes on from included."""
        counter = counting.Counter()
        with open_checkpoints(self._directory / "checkpoints") as checkpoints:
            counter.increment(**checkpoints.read_counts())
        return counter

    def learner(self, random_key: Key, replay: reverb.Client, counter: counting.Counter) -> LearnerRunner:
        with reporting(self._directory):
            networks = self._network_factory(self._environment_spec)
            learner = self._builder.make_learner(
                random_key,
                networks,
                self._builder.make_dataset_iterator(replay),
                replay,
                counting.Counter(counter, "learner"),
            )
            return LearnerRunner(learner, counter, self._config, self._directory)

    def actor(
        self,
        random_key: Key,
        replay: reverb.Client,
        variable_source: core.VariableSource,
        counter: counting.Counter,
        actor_id: int,
    ) -> ReportingLoop:
        with reporting(self._directory):
            loop = super().actor(random_key, replay, variable_source, counter, actor_id)
            return ReportingLoop(loop, self._directory)

    def coordinator(self, counter: counting.Counter, max_actor_steps: int) -> StepsLimiter:
        return StepsLimiter(counter, max_actor_steps, self._directory)

    def evaluator(
        self,
        random_key: Key,
        variable_source: core.VariableSource,
        counter: counting.Counter,
        make_actor: Callable[..., core.Actor],
    ) -> Evaluator:
        """Evaluates the newest policy whenever it is due."""
        del random_key, make_actor
        return Evaluator(self._config, self._directory, self._environment_spec, variable_source, counter)


@dataclasses.dataclass(frozen=True)
class EnvironmentFactory:
    """Makes the configured environment; a class, so that it can be sent to another process."""

    config: AgentRunConfig

    def __call__(self, seed: int) -> dm_env.Environment:
        config = self.config
        return make_environment(config.environment, int(seed), player=config.player, opponent=config.opponent)


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
    """Writes `evaluation.csv` while the program runs."""

    def __init__(
        self,
        config: AgentRunConfig,
        directory: Path,
        spec: acme.specs.EnvironmentSpec,
        variable_source: core.VariableSource,
        counter: counting.Counter,
    ) -> None:
        self._config = config
        self._directory = directory
        self._spec = spec
        self._source = variable_source
        self._counter = counter

    def run(self) -> None:
        period = self._config.evaluate_every
        with reporting(self._directory), signals.runtime_terminator():
            evaluate = make_evaluation(self._config, make_agent(self._config), self._spec, self._source)
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

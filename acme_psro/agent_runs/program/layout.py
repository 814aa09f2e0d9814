"""A run of one agent as a Launchpad program: replay, counter, learner, actors and an evaluator.

The nodes are those of Acme's distributed layout, made to keep our checkpoints, to say why they failed and
to end by themselves; `acme_psro.agent_runs.program.workers` has what they run. Node functions live in this
module, so that a process that unpickles one imports `agents.acme_layer.compat` before Acme.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import agents.acme_layer.compat  # noqa: F401

# isort: split

import dm_env
import jax
import launchpad as lp
import reverb
from acme import core
from acme.jax import utils
from acme.utils import counting

from acme_psro.agent_runs.checkpoints import open_checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.evaluation import make_evaluation
from acme_psro.agent_runs.logs import LoggerFactory
from acme_psro.agent_runs.parts import Parts
from acme_psro.agent_runs.program.game_batches import make_game_batch
from acme_psro.agent_runs.program.workers import (
    Evaluator,
    LearnerRunner,
    ReportingLoop,
    StepsLimiter,
    reporting,
)
from acme_psro.environments.by_name import make_environment
from agents.acme_layer.batched_acting import BatchedLoop
from agents.acme_layer.released import DistributedLayout
from agents.core import Key

# Acting is for a few rows at a time, and accelerators are the learner's.
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
            replay_with_learner=not config.has_replay_process,
        )
        self._config = config
        self._agent = parts.agent
        self._directory = directory
        self._evaluator_factories = [self.evaluator]

    def replay(self) -> list[reverb.Table]:
        # A method of Acme's class would bring Acme in before `agents.acme_layer.compat`.
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
            plays_side_by_side = self._config.kind == "openspiel" and self._config.games_per_actor > 1
            make_loop = self._batched_loop if plays_side_by_side else super().actor
            loop = make_loop(random_key, replay, variable_source, counter, actor_id)
            return ReportingLoop(loop, self._directory)

    def _batched_loop(
        self,
        random_key: Key,
        replay: reverb.Client,
        variable_source: core.VariableSource,
        counter: counting.Counter,
        actor_id: int,
    ) -> BatchedLoop:
        """Returns the same as Acme's `actor`, for many games."""
        builder, spec = self._agent.builder, self._environment_spec
        games_key, actor_key = jax.random.split(random_key)
        games = make_game_batch(self._config, int(utils.sample_uint32(games_key)))
        adder = builder.make_batch_adder(replay, games.num_games, games.nothing)
        networks = self._network_factory(spec)
        actor = builder.make_batched_actor(actor_key, networks, spec, variable_source, adder)
        logger = self._actor_logger_fn(actor_id)
        return BatchedLoop(games, actor, counting.Counter(counter, "actor"), logger)

    def coordinator(self, counter: counting.Counter, max_actor_steps: int) -> StepsLimiter:
        return StepsLimiter(counter, max_actor_steps, self._directory, self._config.plateau)

    def evaluator(
        self,
        random_key: Key,
        variable_source: core.VariableSource,
        counter: counting.Counter,
        make_actor: Callable[..., core.Actor],
    ) -> Evaluator:
        """Evaluates the newest policy whenever it is due."""
        del random_key, make_actor
        make = functools.partial(
            make_evaluation, self._config, self._agent, self._environment_spec, variable_source
        )
        return Evaluator(self._config, self._directory, counter, make)


@dataclasses.dataclass(frozen=True)
class EnvironmentFactory:
    """Makes the configured environment; a class, so that it can be sent to another process."""

    config: AgentRunConfig

    def __call__(self, seed: int) -> dm_env.Environment:
        config = self.config
        return make_environment(config.environment, int(seed), player=config.player, opponent=config.opponent)

"""A run of one agent as a Launchpad program: replay, counter, learner, actors and an evaluator.

The nodes are those of Acme's distributed layout. In addition, they write the checkpoints of this package,
record the reason of a failure, and stop the program themselves. Their workers are in
`acme_psro.agent_runs.program.learning` and `acme_psro.agent_runs.program.workers`. The functions that make
the workers are in this module, so that a process that unpickles one of them imports
`agents.acme_layer.compat` before Acme.
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
from acme_psro.agent_runs.placement import ON_CPU as ON_CPU
from acme_psro.agent_runs.program.game_batches import make_game_batch
from acme_psro.agent_runs.program.learning import LearnerRunner
from acme_psro.agent_runs.program.workers import Evaluator, ReportingLoop, StepsLimiter, reporting
from acme_psro.environments.by_name import make_environment
from agents.acme_layer.batched_acting import BatchedLoop
from agents.acme_layer.released import DistributedLayout
from agents.core import Key


def make_program(config: AgentRunConfig, parts: Parts, directory: Path) -> lp.Program:
    """Makes the Launchpad program of a run.

    Args:
      config: configuration of the run.
      parts: components of the run.
      directory: output directory of the run, which `acme_psro.agent_runs.directory.begin` has prepared.
    """
    return AgentLayout(config, parts, directory).build(name=config.agent)


class AgentLayout(DistributedLayout):
    """Acme's distributed layout for a configured run.

    Args:
      config: configuration of the run.
      parts: components of the run.
      directory: output directory of the run.
    """

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
        # Not inherited: unpickling a method of Acme's class would import Acme before
        # `agents.acme_layer.compat`.
        return super().replay()

    def counter(self) -> counting.Counter:
        """Makes the counter of the whole run, which starts with the counts of the newest checkpoint."""
        counter = counting.Counter()
        with open_checkpoints(self._directory / "checkpoints") as checkpoints:
            counter.increment(**checkpoints.read_counts())
        return counter

    def learner(self, random_key: Key, replay: reverb.Client, counter: counting.Counter) -> LearnerRunner:
        """Makes the worker of the learner's node."""
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
        """Makes the worker of an actor's node, which acts in one environment or in several games."""
        with reporting(self._directory):
            plays_batch = self._config.kind == "openspiel" and self._config.games_per_actor > 1
            make_loop = self._batched_loop if plays_batch else super().actor
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
        """Makes the loop of an actor that plays several games in parallel, as `actor` does for one game."""
        builder, spec = self._agent.builder, self._environment_spec
        games_key, actor_key = jax.random.split(random_key)
        games = make_game_batch(self._config, int(utils.sample_uint32(games_key)))
        adder = builder.make_batch_adder(replay, games.num_games, games.nothing)
        networks = self._network_factory(spec)
        actor = builder.make_batched_actor(actor_key, networks, spec, variable_source, adder)
        logger = self._actor_logger_fn(actor_id)
        return BatchedLoop(games, actor, counting.Counter(counter, "actor"), logger)

    def coordinator(self, counter: counting.Counter, max_actor_steps: int) -> StepsLimiter:
        """Makes the worker that stops the program."""
        return StepsLimiter(counter, max_actor_steps, self._directory, self._config.plateau)

    def evaluator(
        self,
        random_key: Key,
        variable_source: core.VariableSource,
        counter: counting.Counter,
        make_actor: Callable[..., core.Actor],
    ) -> Evaluator:
        """Makes the worker that evaluates the newest policy.

        `random_key` and `make_actor` are part of Acme's signature. They are not used, because
        `make_evaluation` has its own random stream and makes its own actor.
        """
        del random_key, make_actor
        make = functools.partial(
            make_evaluation, self._config, self._agent, self._environment_spec, variable_source
        )
        return Evaluator(self._config, self._directory, counter, make)


@dataclasses.dataclass(frozen=True)
class EnvironmentFactory:
    """Function `seed -> environment` for a configuration. It is a class so that it can be pickled.

    Actors learn in these environments, so their opponents tremble.
    """

    config: AgentRunConfig

    def __call__(self, seed: int) -> dm_env.Environment:
        config = self.config
        return make_environment(
            config.environment,
            int(seed),
            player=config.player,
            opponent=config.opponent,
            trembling=True,
        )

"""Launchpad programs of dm-acme 0.4.0 for our builders."""

from __future__ import annotations

import functools
from collections.abc import Callable

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import jax
import reverb
from acme import core, specs
from acme.jax import utils
from acme.jax.layouts import distributed_layout
from acme.utils import counting

from agents.acme_layer.builder import CoreBuilder
from agents.acme_layer.released.builder import (
    EnvironmentFactory,
    LoggerFactory,
    NetworkFactory,
    ReleasedBuilder,
    make_logger,
)
from agents.core import Key


class DistributedLayout(distributed_layout.DistributedLayout):
    """The release's distributed layout for one of our builders. Its `build` returns the Launchpad program.

    Args:
      builder: the agent's builder.
      network_factory: environment spec -> networks.
      environment_factory: seed -> environment.
      seed: seed of all random numbers.
      num_actors: number of actors that collect experience.
      environment_spec: spec of the environments. If None, an environment is made to read it.
      logger_fn: factory of the loggers of the learner, the actors and the evaluator.
      evaluate: if True, one more actor evaluates the policy and adds no experience.
      max_number_of_steps: number of steps of all actors together after which the program stops itself. If
        None, it does not.
      checkpointing_config: configuration of Acme's checkpoints. By default, they are written below the home
        directory.
      replay_with_learner: if True, the replay server is a thread of the learner's process, and the learner
        reads from it without a network connection.
    """

    def __init__(
        self,
        builder: CoreBuilder,
        network_factory: NetworkFactory,
        environment_factory: EnvironmentFactory,
        seed: int,
        num_actors: int,
        *,
        environment_spec: specs.EnvironmentSpec | None = None,
        logger_fn: LoggerFactory = make_logger,
        evaluate: bool = True,
        max_number_of_steps: int | None = None,
        checkpointing_config: distributed_layout.CheckpointingConfig | None = None,
        replay_with_learner: bool = False,
    ) -> None:
        spec = environment_spec or specs.make_environment_spec(environment_factory(seed))
        released = ReleasedBuilder(builder, network_factory, spec, logger_fn)
        evaluator = functools.partial(_evaluate, released, environment_factory, network_factory, logger_fn)
        super().__init__(
            seed=seed,
            environment_factory=environment_factory,
            network_factory=network_factory,
            builder=released,
            policy_network=released.make_policy,
            num_actors=num_actors,
            environment_spec=spec,
            actor_logger_fn=functools.partial(logger_fn, "actor", "actor_steps"),
            evaluator_factories=[evaluator] if evaluate else [],
            max_number_of_steps=max_number_of_steps,
            checkpointing_config=checkpointing_config,
            multithreading_colocate_learner_and_reverb=replay_with_learner,
        )

    # The program's nodes are bound methods, which other processes unpickle. To unpickle a method of this
    # class, a process imports this module and so `agents.acme_layer.compat` before Acme. To unpickle an
    # inherited method, it would import Acme first. The overrides below change nothing else.

    def replay(self) -> list[reverb.Table]:
        return super().replay()

    def counter(self) -> core.Worker:
        return super().counter()

    def learner(self, random_key: Key, replay: reverb.Client, counter: counting.Counter) -> core.Worker:
        return super().learner(random_key, replay, counter)

    def actor(
        self,
        random_key: Key,
        replay: reverb.Client,
        variable_source: core.VariableSource,
        counter: counting.Counter,
        actor_id: int,
    ) -> acme.EnvironmentLoop:
        return super().actor(random_key, replay, variable_source, counter, actor_id)

    def coordinator(self, counter: counting.Counter, max_actor_steps: int) -> core.Worker:
        return super().coordinator(counter, max_actor_steps)


def _evaluate(
    builder: ReleasedBuilder,
    environment_factory: EnvironmentFactory,
    network_factory: NetworkFactory,
    logger_fn: LoggerFactory,
    random_key: Key,
    variable_source: core.VariableSource,
    counter: counting.Counter,
    make_actor: Callable[..., core.Actor],
) -> acme.EnvironmentLoop:
    """Makes the evaluator's loop, in which the policy acts in evaluation mode and adds no experience."""
    environment_key, actor_key = jax.random.split(random_key)
    environment = environment_factory(utils.sample_uint32(environment_key))
    networks = network_factory(acme.make_environment_spec(environment))
    actor = make_actor(actor_key, builder.make_policy(networks, evaluation=True), variable_source)
    logger = logger_fn("evaluator", "actor_steps")
    return acme.EnvironmentLoop(environment, actor, counting.Counter(counter, "evaluator"), logger)

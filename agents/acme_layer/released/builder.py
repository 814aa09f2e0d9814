"""Adapter of our builders to those of dm-acme 0.4.0, whose methods take other arguments in another order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import dm_env
import reverb
from acme import adders, core, specs
from acme.agents.jax import actor_core, builders
from acme.utils import counting, loggers

from agents.acme_layer.builder import CoreBuilder
from agents.core import Key

NetworkFactory = Callable[[specs.EnvironmentSpec], Any]


EnvironmentFactory = Callable[[int], dm_env.Environment]


LoggerFactory = Callable[..., loggers.Logger]


def make_logger(label: str, steps_key: str = "steps", instance: int = 0) -> loggers.Logger:
    """Makes a logger that prints a line at most every ten seconds and writes no files.

    Args:
      label: name of the process in the log, such as `learner`.
      steps_key: name of the count that the logger reports as its steps.
      instance: number of the process among those with the same label. It is not used.
    """
    del instance
    return loggers.make_default_logger(label, save_data=False, time_delta=10.0, steps_key=steps_key)


class ReleasedBuilder(builders.ActorLearnerBuilder):
    """Adapter that gives one of our builders the methods of the release's builders.

    Args:
      builder: the agent's builder.
      network_factory: environment spec -> networks.
      environment_spec: spec of the environment to learn in.
      logger_fn: factory of the learner's logger.
      counter_prefix: prefix of the learner's counts. A runner needs one if its learner and its actor share
        a counter, because both count `steps`.
    """

    def __init__(
        self,
        builder: CoreBuilder,
        network_factory: NetworkFactory,
        environment_spec: specs.EnvironmentSpec,
        logger_fn: LoggerFactory = make_logger,
        counter_prefix: str = "",
    ) -> None:
        self._builder = builder
        self._network_factory = network_factory
        self._environment_spec = environment_spec
        self._logger_fn = logger_fn
        self._counter_prefix = counter_prefix

    def make_policy(self, networks: Any, evaluation: bool = False) -> actor_core.ActorCore:
        """Makes a policy from networks, in the form that the release's runners take beside a builder.

        Args:
          networks: the agent's networks.
          evaluation: if True, the policy acts in evaluation mode, without exploration.
        """
        return self._builder.make_policy(networks, self._environment_spec, evaluation)

    def make_replay_tables(self, environment_spec: specs.EnvironmentSpec) -> list[reverb.Table]:
        policy = self.make_policy(self._network_factory(environment_spec))
        return self._builder.make_replay_tables(environment_spec, policy)

    def make_dataset_iterator(self, replay_client: reverb.Client) -> Iterator[reverb.ReplaySample]:
        return self._builder.make_dataset_iterator(replay_client)

    def make_adder(self, replay_client: reverb.Client) -> adders.Adder:
        policy = self.make_policy(self._network_factory(self._environment_spec))
        return self._builder.make_adder(replay_client, self._environment_spec, policy)

    def make_actor(
        self,
        random_key: Key,
        policy_network: actor_core.ActorCore,
        adder: adders.Adder | None = None,
        variable_source: core.VariableSource | None = None,
    ) -> core.Actor:
        return self._builder.make_actor(
            random_key, policy_network, self._environment_spec, variable_source, adder
        )

    def make_learner(
        self,
        random_key: Key,
        networks: Any,
        dataset: Iterator[reverb.ReplaySample],
        replay_client: reverb.Client | None = None,
        counter: counting.Counter | None = None,
    ) -> core.Learner:
        if self._counter_prefix:
            # By default, a counter exchanges counts with its parent only once a second.
            counter = counting.Counter(counter, self._counter_prefix, time_delta=0.0)
        return self._builder.make_learner(
            random_key, networks, dataset, self._logger_fn, self._environment_spec, replay_client, counter
        )

"""The builder of every agent in Acme's sense: replay, adder, data set, actor, learner and policy.

Its methods have the signatures of Acme's main branch; `agents.acme_layer.released` serves the older ones.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
import jax.numpy as jnp
import reverb
from acme import adders, core, specs
from acme.agents.jax import actor_core, actors
from acme.jax import variable_utils
from acme.utils import counting, loggers

from agents.acme_layer import replay as replays
from agents.acme_layer.batched_acting import BatchedActor, BatchedPolicy
from agents.acme_layer.batched_adding import BatchAdder, make_batch_adder
from agents.acme_layer.learner import CoreLearner
from agents.acme_layer.replay import ReplayConfig
from agents.core import Action, AgentCore, Key, Variables
from agents.interface import make_interface


class CoreBuilder:
    """Builds the parts of an agent from its `AgentCore`, for the runners of Acme.

    Args:
      make_core: networks -> `AgentCore`.
      discount: of the agent, for rewards summed over more than one step; `AgentCore.update` applies it once
        more, as Acme has it.
      replay: how experience is kept and drawn.
    """

    def __init__(
        self, make_core: Callable[[Any], AgentCore], discount: float, replay: ReplayConfig | None = None
    ) -> None:
        self._make_core = make_core
        self._discount = discount
        self._replay = replay or ReplayConfig()

    @property
    def discount(self) -> float:
        """Of the agent."""
        return self._discount

    @property
    def replay(self) -> ReplayConfig:
        """How experience is kept and drawn."""
        return self._replay

    def with_replay(self, replay: ReplayConfig) -> CoreBuilder:
        """The same agent with another replay."""
        other = copy.copy(self)
        other._replay = replay
        return other

    def make_replay_tables(
        self, environment_spec: specs.EnvironmentSpec, policy: actor_core.ActorCore
    ) -> list[reverb.Table]:
        """One table that keeps n-step transitions or sequences and is sampled uniformly.

        Raises:
          ValueError: an environment that no agent of ours can handle.
        """
        del policy
        make_interface(environment_spec)
        return [replays.make_table(self._replay, environment_spec)]

    def make_dataset_iterator(self, replay_client: reverb.Client) -> Iterator[reverb.ReplaySample]:
        """Samples for `gradient_steps_per_learner_step` batches of `batch_size` decisions, on the host."""
        return replays.make_dataset_iterator(self._replay, replay_client)

    def make_adder(
        self,
        replay_client: reverb.Client,
        environment_spec: specs.EnvironmentSpec | None,
        policy: actor_core.ActorCore | None,
    ) -> adders.Adder:
        """Writes n-step transitions, or sequences."""
        del environment_spec, policy
        return replays.make_adder(self._replay, replay_client, self._discount)

    def make_actor(
        self,
        random_key: Key,
        policy: actor_core.ActorCore,
        environment_spec: specs.EnvironmentSpec,
        variable_source: core.VariableSource | None = None,
        adder: adders.Adder | None = None,
    ) -> core.Actor:
        """An actor on the CPU, which asks the learner for variables now and then.

        Raises:
          ValueError: no learner to ask.
        """
        del environment_spec
        if variable_source is None:
            raise ValueError(
                "make_actor needs a variable_source, usually the learner: policies have parameters."
            )
        client = self._make_variable_client(variable_source)
        return actors.GenericActor(policy, _on_cpu(random_key), client, adder, backend=None)

    def make_batch_adder(self, replay_client: reverb.Client, num_games: int, nothing: Any) -> BatchAdder:
        """Writes what `make_adder` does, of many games that are stepped side by side.

        Args:
          replay_client: of the server.
          num_games: that are stepped side by side.
          nothing: what is observed at the end of an episode, a tree of arrays.
        """
        return make_batch_adder(self._replay, replay_client, self._discount, num_games, nothing)

    def make_batched_actor(
        self,
        random_key: Key,
        networks: Any,
        environment_spec: specs.EnvironmentSpec,
        variable_source: core.VariableSource,
        adder: BatchAdder | None = None,
    ) -> BatchedActor:
        """What `make_actor` makes, for many environments that are stepped side by side."""
        policy = self._make_choice(networks, environment_spec)
        return BatchedActor(policy, _on_cpu(random_key), self._make_variable_client(variable_source), adder)

    def _make_variable_client(self, source: core.VariableSource) -> variable_utils.VariableClient:
        """Key and variables lie on the CPU, so that is where acting happens."""
        period = self._replay.variable_update_period
        return variable_utils.VariableClient(source, "policy", period, device="cpu")

    def make_learner(
        self,
        random_key: Key,
        networks: Any,
        dataset: Iterator[reverb.ReplaySample],
        logger_fn: Callable[..., loggers.Logger],
        environment_spec: specs.EnvironmentSpec,
        replay_client: reverb.Client | None = None,
        counter: counting.Counter | None = None,
    ) -> CoreLearner:
        """The learner; `logger_fn` is one of Acme's `LoggerFactory`: (label, steps key, ..) -> logger."""
        del replay_client
        interface, length = make_interface(environment_spec), self._replay.sequence_length
        return CoreLearner(
            self._make_core(networks),
            random_key,
            dataset,
            interface.to_transition if length == 1 else interface.to_sequence,
            batch_size=self._replay.batch_size,
            sequence_length=length,
            gradient_steps=self._replay.gradient_steps_per_learner_step,
            counter=counter,
            logger=logger_fn("learner", "learner_steps"),
        )

    def make_policy(
        self, networks: Any, environment_spec: specs.EnvironmentSpec, evaluation: bool = False
    ) -> actor_core.ActorCore:
        """How to act, exploration included, or with `evaluation` how to act when judged.

        Where replay keeps sequences, who acts to learn reports each action's `log_prob` as an extra.
        """
        choose = self._make_choice(networks, environment_spec, evaluation)
        if evaluation or self._replay.sequence_length == 1:
            return actor_core.batched_feed_forward_to_actor_core(lambda *seen: choose(*seen)[0])
        telling = actor_core.batched_feed_forward_with_extras_to_actor_core(choose)
        return dataclasses.replace(telling, init=_start_telling)

    def _make_choice(
        self, networks: Any, environment_spec: specs.EnvironmentSpec, evaluation: bool = False
    ) -> BatchedPolicy:
        """How to act where a batch is observed, and what to tell of each action."""
        agent = self._make_core(networks)
        act = agent.perform if evaluation else agent.act
        tells = not evaluation and self._replay.sequence_length > 1
        interface = make_interface(environment_spec)

        def choose(variables: Variables, key: Key, observation: Any) -> tuple[Action, Mapping[str, Any]]:
            seen = interface.to_observation(observation)
            action = act(variables, key, seen)
            if not tells:
                return interface.to_action(action), {}
            log_prob = agent.log_prob(variables, seen, action)
            return interface.to_action(action), {"log_prob": log_prob.astype(jnp.float32)}

        return choose


def _on_cpu(random_key: Key) -> Key:
    return jax.device_put(random_key, jax.local_devices(backend="cpu")[0])


def _start_telling(key: Key) -> actor_core.SimpleActorCoreStateWithExtras:
    """As Acme's, but with extras as they are later on: else the policy would be compiled twice."""
    return actor_core.SimpleActorCoreStateWithExtras(key, {"log_prob": jnp.zeros((), jnp.float32)})

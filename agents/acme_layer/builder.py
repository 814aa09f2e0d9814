"""The Acme builder of all agents, which makes replay, adder, data set, actor, learner and policy.

The methods have the signatures of Acme's main branch. `agents.acme_layer.released` adapts them to the older
signatures of the release.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
import jax.numpy as jnp
import numpy as np
import reverb
from acme import adders, core, specs
from acme.agents.jax import actor_core, actors
from acme.jax import variable_utils
from acme.utils import counting, loggers

from agents.acme_layer import replay as replays
from agents.acme_layer.batch_adder import BatchAdder
from agents.acme_layer.batched_acting import BatchedActor, BatchedPolicy
from agents.acme_layer.batched_adding import make_batch_adder
from agents.acme_layer.learner import CoreLearner
from agents.acme_layer.replay import ReplayConfig
from agents.core import Action, AgentCore, Key, Variables
from agents.interface import Interface, make_interface


class CoreBuilder:
    """Builds the parts of an agent from its `AgentCore`, for the runners of Acme.

    Args:
      make_core: networks -> `AgentCore`.
      discount: the agent's discount, for rewards that are summed over more than one step. As in Acme,
        `AgentCore.update` applies it once more.
      replay: configuration of replay; the default one if None.
      keeps_drawn: if True, replay keeps each continuous action also as it was drawn, before it was clipped,
        and `AgentCore.choose` acts.
    """

    def __init__(
        self,
        make_core: Callable[[Any], AgentCore],
        discount: float,
        replay: ReplayConfig | None = None,
        keeps_drawn: bool = False,
    ) -> None:
        self._make_core = make_core
        self._discount = discount
        self._replay = replay or ReplayConfig()
        self._keeps_drawn = keeps_drawn

    @property
    def discount(self) -> float:
        """The agent's discount."""
        return self._discount

    @property
    def replay(self) -> ReplayConfig:
        """The configuration of replay."""
        return self._replay

    def with_replay(self, replay: ReplayConfig) -> CoreBuilder:
        """Returns a builder of the same agent with another configuration of replay."""
        other = copy.copy(self)
        other._replay = replay
        return other

    def make_replay_tables(
        self, environment_spec: specs.EnvironmentSpec, policy: actor_core.ActorCore
    ) -> list[reverb.Table]:
        """Makes one table of n-step transitions or sequences, which is sampled uniformly.

        Raises:
          ValueError: no agent of this package supports the environment.
        """
        del policy
        # A program makes its tables first: an environment that is not supported should fail before it starts.
        interface = make_interface(environment_spec)
        return [replays.make_table(self._replay, environment_spec, self._extras_spec(interface))]

    def make_dataset_iterator(self, replay_client: reverb.Client) -> Iterator[reverb.ReplaySample]:
        """Returns an endless iterator over samples for the learner, in host memory.

        A sample holds `gradient_steps_per_learner_step` batches of `batch_size` decisions.
        """
        return replays.make_dataset_iterator(self._replay, replay_client)

    def make_adder(
        self,
        replay_client: reverb.Client,
        environment_spec: specs.EnvironmentSpec | None,
        policy: actor_core.ActorCore | None,
    ) -> adders.Adder:
        """Makes an adder for one environment, which writes n-step transitions or sequences."""
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
        """Makes an actor that runs on the CPU and fetches the learner's variables periodically.

        Raises:
          ValueError: `variable_source` is None.
        """
        del environment_spec
        if variable_source is None:
            raise ValueError(
                "make_actor needs a variable_source, usually the learner: policies have parameters."
            )
        client = self._make_variable_client(variable_source)
        return actors.GenericActor(policy, _on_cpu(random_key), client, adder, backend=None)

    def make_batch_adder(self, replay_client: reverb.Client, num_games: int, nothing: Any) -> BatchAdder:
        """Makes an adder for many games that are stepped together, which writes the items of `make_adder`.

        Args:
          replay_client: client of the Reverb server.
          num_games: number of games.
          nothing: observation at the end of an episode, a tree of arrays without an axis of games.
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
        """Makes an actor for many environments that are stepped together, with the policy of `make_actor`.

        Args:
          random_key: key of the actor's random choices.
          networks: the agent's networks.
          environment_spec: spec of one environment.
          variable_source: source of the policy's variables, usually the learner.
          adder: adder for the experience. If None, no experience is stored.
        """
        policy = self._make_choice(networks, environment_spec)
        return BatchedActor(policy, _on_cpu(random_key), self._make_variable_client(variable_source), adder)

    def _make_variable_client(self, source: core.VariableSource) -> variable_utils.VariableClient:
        """Makes a client that fetches the policy's variables from `source` and puts them on the CPU."""
        period = self._replay.variable_update_period
        # A jitted policy runs where its arguments are. Its key is on the CPU as well, see `_on_cpu`.
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
        """Makes the learner.

        Args:
          random_key: key for the initial state.
          networks: the agent's networks.
          dataset: iterator over samples, as `make_dataset_iterator` returns it.
          logger_fn: a `LoggerFactory` of Acme, (label, steps key, ..) -> logger.
          environment_spec: spec of the environment.
          replay_client: client of the Reverb server. It is not used.
          counter: counter of the learner's steps.

        Raises:
          ValueError: no agent of this package supports the environment.
        """
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
        """Makes the policy, either with exploration or in evaluation mode.

        If replay keeps sequences, the policy with exploration returns each action's `log_prob` as an extra.
        If replay keeps actions as they were drawn, it returns `drawn`.

        Args:
          networks: the agent's networks.
          environment_spec: spec of the environment.
          evaluation: if True, the policy acts in evaluation mode.

        Raises:
          ValueError: no agent of this package supports the environment.
        """
        choose = self._make_choice(networks, environment_spec, evaluation)
        extras = self._extras_spec(make_interface(environment_spec))
        if self._replay.sequence_length > 1:
            extras["log_prob"] = specs.Array((), np.float32)
        if evaluation or not extras:
            return actor_core.batched_feed_forward_to_actor_core(lambda *seen: choose(*seen)[0])
        policy = actor_core.batched_feed_forward_with_extras_to_actor_core(choose)
        return dataclasses.replace(policy, init=functools.partial(_init_with_extras, extras))

    def _extras_spec(self, interface: Interface) -> dict[str, specs.Array]:
        """Returns the extras of a decision, beside those that every sequence has."""
        if not self._keeps_drawn or interface.bounds is None:
            return {}
        return {"drawn": specs.Array((interface.num_actions,), np.float32)}

    def _make_choice(
        self, networks: Any, environment_spec: specs.EnvironmentSpec, evaluation: bool = False
    ) -> BatchedPolicy:
        """Makes a function from a batch of observations to actions and their extras."""
        agent = self._make_core(networks)
        interface = make_interface(environment_spec)
        act = agent.perform if evaluation else agent.act
        adds_log_prob = not evaluation and self._replay.sequence_length > 1
        adds_drawn = not evaluation and "drawn" in self._extras_spec(interface)

        def choose(variables: Variables, key: Key, observation: Any) -> tuple[Action, Mapping[str, Any]]:
            seen, extras = interface.to_observation(observation), {}
            if adds_drawn:
                action, drawn = agent.choose(variables, key, seen)
                extras["drawn"] = drawn.astype(jnp.float32)
            else:
                action = drawn = act(variables, key, seen)
            if adds_log_prob:
                # Stored with the action, because the policy may have changed when the learner samples it.
                extras["log_prob"] = agent.log_prob(variables, seen, drawn).astype(jnp.float32)
            return interface.to_action(action), extras

        return choose


def _on_cpu(random_key: Key) -> Key:
    return jax.device_put(random_key, jax.local_devices(backend="cpu")[0])


def _init_with_extras(
    extras: Mapping[str, specs.Array], key: Key
) -> actor_core.SimpleActorCoreStateWithExtras:
    """Returns an actor's initial state whose extras have the structure of later ones.

    Acme's initial state has empty extras, with which the policy would be compiled twice.
    """
    zeros = {name: jnp.zeros(spec.shape, spec.dtype) for name, spec in extras.items()}
    return actor_core.SimpleActorCoreStateWithExtras(key, zeros)

"""The builder of every agent in Acme's sense: replay, adder, data set, actor, learner and policy.

Its methods have the signatures of Acme's main branch; `agents.released_acme` serves the older ones.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import agents.acme_compat  # noqa: F401

# isort: split

import jax
import reverb
from acme import adders, core, specs
from acme.adders import reverb as reverb_adders
from acme.agents.jax import actor_core, actors
from acme.datasets import reverb as reverb_datasets
from acme.jax import variable_utils
from acme.utils import counting, loggers

from agents.core import Action, AgentCore, Key, Variables
from agents.interface import make_interface
from agents.learner import CoreLearner

_POSITIVE = (
    "batch_size",
    "min_replay_size",
    "max_replay_size",
    "samples_per_insert",
    "n_step",
    "gradient_steps_per_learner_step",
    "num_parallel_calls",
    "variable_update_period",
)


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """How experience is kept and drawn.

    Attributes:
      batch_size: decisions in a gradient step.
      min_replay_size: decisions to collect before learning begins.
      max_replay_size: decisions to keep; the oldest go first.
      samples_per_insert: how often a decision is drawn on average. `batch_size` makes one gradient step for
        each decision.
      samples_per_insert_tolerance_rate: how far, as a share, actors and learner may run apart before one
        waits for the other; `inf` sets both free.
      n_step: rewards summed up before a value is taken over (Sutton 1988).
      gradient_steps_per_learner_step: gradient steps in one call of the learner; more cost less overhead.
      prefetch_size: samples made ready ahead.
      num_parallel_calls: streams that samples are drawn in, each holding one or two of its own.
      variable_update_period: calls of an actor's `update` between two requests for the newest policy.
      table_name: of Reverb's table.
    """

    batch_size: int = 256
    min_replay_size: int = 5000
    max_replay_size: int = 1_000_000
    samples_per_insert: float = 256.0
    samples_per_insert_tolerance_rate: float = 0.1
    n_step: int = 1
    gradient_steps_per_learner_step: int = 1
    prefetch_size: int = 4
    num_parallel_calls: int = 4
    variable_update_period: int = 10
    table_name: str = reverb_adders.DEFAULT_PRIORITY_TABLE

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ValueError(f"replay's {name} must be above 0, not {getattr(self, name)}.")
        if not math.isfinite(self.samples_per_insert):
            raise ValueError("replay's samples_per_insert must be finite; free it by the tolerance rate inf.")
        for name in ("samples_per_insert_tolerance_rate", "prefetch_size"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"replay's {name} must not be negative, not {getattr(self, name)}.")
        if self.min_replay_size > self.max_replay_size:
            raise ValueError(
                f"replay's min_replay_size {self.min_replay_size} must not exceed its max_replay_size "
                f"{self.max_replay_size}: learning would never begin."
            )
        if not self.table_name:
            raise ValueError("replay's table_name must not be empty.")


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
        """One table that keeps n-step transitions and is sampled uniformly.

        Raises:
          ValueError: an environment that no agent of ours can handle.
        """
        del policy
        make_interface(environment_spec)
        return [
            reverb.Table(
                name=self._replay.table_name,
                sampler=reverb.selectors.Uniform(),
                remover=reverb.selectors.Fifo(),
                max_size=self._replay.max_replay_size,
                rate_limiter=_make_limiter(self._replay),
                signature=reverb_adders.NStepTransitionAdder.signature(environment_spec),
            )
        ]

    def make_dataset_iterator(self, replay_client: reverb.Client) -> Iterator[reverb.ReplaySample]:
        """Samples of `gradient_steps_per_learner_step * batch_size` transitions, on the host."""
        replay = self._replay
        dataset = reverb_datasets.make_reverb_dataset(
            server_address=replay_client.server_address,
            batch_size=replay.batch_size * replay.gradient_steps_per_learner_step,
            prefetch_size=replay.prefetch_size,
            table=replay.table_name,
            num_parallel_calls=replay.num_parallel_calls,
        )
        return dataset.as_numpy_iterator()

    def make_adder(
        self,
        replay_client: reverb.Client,
        environment_spec: specs.EnvironmentSpec | None,
        policy: actor_core.ActorCore | None,
    ) -> adders.Adder:
        """Writes n-step transitions."""
        del environment_spec, policy
        return reverb_adders.NStepTransitionAdder(
            client=replay_client,
            n_step=self._replay.n_step,
            discount=self._discount,
            priority_fns={self._replay.table_name: None},
        )

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
        period = self._replay.variable_update_period
        client = variable_utils.VariableClient(variable_source, "policy", period, device="cpu")
        # Key and variables lie on the CPU, so that is where acting happens.
        random_key = jax.device_put(random_key, jax.local_devices(backend="cpu")[0])
        return actors.GenericActor(policy, random_key, client, adder, backend=None)

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
        return CoreLearner(
            self._make_core(networks),
            random_key,
            dataset,
            make_interface(environment_spec).to_transition,
            batch_size=self._replay.batch_size,
            gradient_steps=self._replay.gradient_steps_per_learner_step,
            counter=counter,
            logger=logger_fn("learner", "learner_steps"),
        )

    def make_policy(
        self, networks: Any, environment_spec: specs.EnvironmentSpec, evaluation: bool = False
    ) -> actor_core.ActorCore:
        """How to act, exploration included, or with `evaluation` how to act when judged."""
        agent = self._make_core(networks)
        act = agent.perform if evaluation else agent.act
        interface = make_interface(environment_spec)

        def choose(variables: Variables, key: Key, observation: Any) -> Action:
            return interface.to_action(act(variables, key, interface.to_observation(observation)))

        return actor_core.batched_feed_forward_to_actor_core(choose)


def _make_limiter(replay: ReplayConfig) -> reverb.rate_limiters.RateLimiter:
    if math.isinf(replay.samples_per_insert_tolerance_rate):
        return reverb.rate_limiters.MinSize(replay.min_replay_size)
    tolerance = replay.samples_per_insert_tolerance_rate * replay.samples_per_insert * replay.min_replay_size
    # Less than this and Reverb could block both sides for good.
    least = 2 * max(1.0, replay.samples_per_insert)
    return reverb.rate_limiters.SampleToInsertRatio(
        samples_per_insert=replay.samples_per_insert,
        min_size_to_sample=replay.min_replay_size,
        error_buffer=max(tolerance, least),
    )

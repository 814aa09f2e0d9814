"""Agents of dm-acme 0.4.0 that alternate acting and learning in one process."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import dm_env
import reverb
from acme import adders, core, specs
from acme.agents.jax import actor_core
from acme.jax.layouts import local_layout
from acme.utils import counting

from agents.acme_layer.builder import CoreBuilder
from agents.acme_layer.local_replay import LocalAdder, LocalQueue, LocalReplay, LocalSequenceAdder
from agents.acme_layer.released.builder import LoggerFactory, NetworkFactory, ReleasedBuilder, make_logger
from agents.core import Key


class LocalAgent(local_layout.LocalLayout):
    """The release's local layout, with access to its learner and with a server that can be stopped."""

    @property
    def learner(self) -> core.Learner:
        """The agent's learner."""
        return self._learner

    def stop_server(self) -> None:
        """Stops the Reverb server, for agents that keep their experience elsewhere."""
        self._replay_server.stop()

    def first_step_inside(self, context: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        """Makes the learner's first step inside a context: it compiles, and so takes as long as many others.

        Args:
          context: makes the context.
        """
        self._learner: core.Learner = _FirstStepInside(self.learner, context)

    def learn_when(self, has_sample: Callable[[], bool]) -> None:
        """Learns in `update` as long as a whole sample waits, and then fetches the newest policy.

        Acme counts decisions, but the transitions of the newest decisions may not be complete.

        Args:
          has_sample: function that returns True if the learner would not wait for its next sample.
        """

        def update() -> None:
            has_learned = False
            while has_sample():
                self._learner.step()
                has_learned = True
            if has_learned:
                self._actor.update(wait=True)

        self._custom_update_fn = update


class _FirstStepInside(core.Learner):
    """A learner whose first step is made inside a context."""

    def __init__(
        self, learner: core.Learner, context: Callable[[], contextlib.AbstractContextManager[None]]
    ) -> None:
        self._learner = learner
        self._context: Callable[[], contextlib.AbstractContextManager[None]] | None = context

    def step(self) -> None:
        context, self._context = self._context, None
        with contextlib.nullcontext() if context is None else context():
            self._learner.step()

    def get_variables(self, names: list[str]) -> list[Any]:
        return self._learner.get_variables(names)

    def save(self) -> Any:
        return self._learner.save()

    def restore(self, state: Any) -> None:
        self._learner.restore(state)


class _ReverbBuilder(ReleasedBuilder):
    """Builder with a replay in Reverb, for one thread that alternates acting and learning."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._tables: list[reverb.Table] = []
        self._num_handed_over = 0

    def make_replay_tables(self, environment_spec: specs.EnvironmentSpec) -> list[reverb.Table]:
        self._tables = super().make_replay_tables(environment_spec)
        return self._tables

    def make_dataset_iterator(self, replay_client: reverb.Client) -> Iterator[reverb.ReplaySample]:
        return self._counted(super().make_dataset_iterator(replay_client))

    def _counted(self, samples: Iterator[reverb.ReplaySample]) -> Iterator[reverb.ReplaySample]:
        for sample in samples:
            self._num_handed_over += self._builder.replay.items_per_sample
            yield sample

    def has_sample(self) -> bool:
        """Returns True if a queue has accepted the items of a sample that the learner has not had yet."""
        # The table's own size does not tell: the data set takes items out of it before the learner asks.
        inserted = sum(table.info.rate_limiter_info.insert_stats.completed for table in self._tables)
        return inserted - self._num_handed_over >= self._builder.replay.items_per_sample


class _InProcessBuilder(ReleasedBuilder):
    """Builder with a replay in the process's memory, for one thread that alternates acting and learning.

    The actor waits for its variables, so that its actions never depend on the load of the machine.

    Args:
      builder: the agent's builder.
      replay: the replay in the process's memory.
      *others: the other arguments of `ReleasedBuilder`.
    """

    def __init__(self, builder: CoreBuilder, replay: LocalReplay | LocalQueue, *others: Any) -> None:
        super().__init__(builder, *others)
        self._memory = replay

    def make_dataset_iterator(self, replay_client: reverb.Client) -> Iterator[reverb.ReplaySample]:
        del replay_client
        return self._memory.samples(self._builder.replay.items_per_sample)

    def has_sample(self) -> bool:
        """Returns True if a queue holds the items of a sample."""
        return len(self._memory) >= self._builder.replay.items_per_sample

    def make_adder(self, replay_client: reverb.Client) -> adders.Adder:
        del replay_client
        replay = self._builder.replay
        if replay.sequence_length > 1:
            return LocalSequenceAdder(self._memory, replay.sequence_length)
        return LocalAdder(self._memory, replay.n_step, self._builder.discount, replay.queue)

    def make_actor(
        self,
        random_key: Key,
        policy_network: actor_core.ActorCore,
        adder: adders.Adder | None = None,
        variable_source: core.VariableSource | None = None,
    ) -> core.Actor:
        return _WaitingActor(super().make_actor(random_key, policy_network, adder, variable_source))


class _WaitingActor(core.Actor):
    """An actor whose `update` returns only after it has received the newest variables."""

    def __init__(self, actor: core.Actor) -> None:
        self._actor = actor

    def select_action(self, observation: Any) -> Any:
        return self._actor.select_action(observation)

    def observe_first(self, timestep: dm_env.TimeStep) -> None:
        self._actor.observe_first(timestep)

    def observe(self, action: Any, next_timestep: dm_env.TimeStep) -> None:
        self._actor.observe(action, next_timestep)

    def update(self, wait: bool = False) -> None:
        del wait
        self._actor.update(wait=True)


def make_local_agent(
    builder: CoreBuilder,
    network_factory: NetworkFactory,
    environment_spec: specs.EnvironmentSpec,
    seed: int,
    *,
    logger_fn: LoggerFactory = make_logger,
    counter: counting.Counter | None = None,
    workdir: str | None = None,
    in_process: bool = False,
) -> LocalAgent:
    """Makes an agent that alternates acting and learning in one process, for an `acme.EnvironmentLoop`.

    The agent itself keeps the ratio of samples to inserts that the replay's configuration asks for. Reverb
    must not limit the rate: a blocked insert would wait for a learner that runs in the same thread.

    Args:
      builder: the agent's builder.
      network_factory: environment spec -> networks.
      environment_spec: spec of the environment to learn in.
      seed: seed of all random numbers.
      logger_fn: factory of the learner's logger.
      counter: the loop's counter, which then counts the learner's steps, too.
      workdir: directory for Acme's checkpoints. If None, Acme writes no checkpoints.
      in_process: if True, experience is kept in the memory of this process and not in Reverb. That is
        faster, and equal seeds give equal results.
    """
    replay = builder.replay
    # Reverb's part of the replay never blocks: sampling starts with the first item, at any ratio.
    unlimited = builder.with_replay(
        dataclasses.replace(replay, min_replay_size=1, samples_per_insert_tolerance_rate=math.inf)
    )
    others = (network_factory, environment_spec, logger_fn, "learner")
    released: _InProcessBuilder | _ReverbBuilder = _ReverbBuilder(unlimited, *others)
    if in_process:
        # No request leaves the process, so that requests are cheap and the actor may ask at every step.
        newest = builder.with_replay(dataclasses.replace(unlimited.replay, variable_update_period=1))
        memory = LocalQueue() if replay.queue else LocalReplay(replay.max_items, seed)
        released = _InProcessBuilder(newest, memory, *others)
    networks = network_factory(environment_spec)
    agent = LocalAgent(
        seed=seed,
        environment_spec=environment_spec,
        builder=released,
        networks=networks,
        policy_network=released.make_policy(networks),
        workdir=workdir,
        # If there were no item yet, the learner would wait for one in the thread that should add it.
        min_replay_size=max(replay.min_replay_size, replay.decisions_before_first_item),
        samples_per_insert=replay.samples_per_insert,
        batch_size=replay.batch_size,
        num_sgd_steps_per_step=replay.gradient_steps_per_learner_step,
        counter=counter,
    )
    if in_process:
        agent.stop_server()
    if replay.queue:
        agent.learn_when(released.has_sample)
    return agent

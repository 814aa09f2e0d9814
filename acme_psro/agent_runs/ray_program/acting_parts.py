"""Actors of a program on Ray, which are replaced one by one if they are lost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.ray_program.actor import Actor
from acme_psro.agent_runs.ray_program.nodes import Nodes
from acme_psro.system.retries import Ends, Retries


class LostActorError(RuntimeError):
    """An actor was lost again and again without doing anything."""


class _Slot:
    """An actor and its successors.

    Attributes:
      number: number of the actor.
      attempt: how often the actor was replaced.
      ends: how often in a row it was lost, or failed at its start, before it sent anything.
      due: earliest time of the next start, on the monotonic clock.
      messages: number of messages that the learner had when the actor was started.
      running: the call that acts until the end of the run; None while no actor runs.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.attempt = -1
        self.ends = Ends()
        self.due = 0.0
        self.messages = 0
        self.running: Any = None


class Actors:
    """All actors of a program.

    Args:
      config: configuration of the run.
      nodes: places of the actors.
      learner: handle of the learner.
      opponents: reference to the run's opponents in the object store.
      retries: how often an actor is replaced that does nothing, and how long each replacement waits.
    """

    def __init__(
        self,
        config: AgentRunConfig,
        nodes: Nodes,
        learner: Any,
        opponents: Any,
        retries: Retries | None = None,
    ) -> None:
        self._config, self._nodes = config, nodes
        self._learner, self._opponents = learner, opponents
        self._retries = retries or Retries()
        self._slots = [_Slot(number) for number in range(config.num_actors)]
        self._handles: dict[int, Any] = {}
        self.tend({})

    def tend(self, messages: Mapping[int, int]) -> None:
        """Starts actors that are due, and those that replace lost ones.

        Args:
          messages: number of messages of each actor that the learner has.

        Raises:
          LostActorError: an actor is lost time and again.
          Exception: an actor failed by an error of its own, such as a game that returns invalid numbers.
        """
        import ray

        for slot in self._slots:
            if slot.running is not None and ray.wait([slot.running], timeout=0)[0]:
                self._settle(slot, messages.get(slot.number, 0))
            if slot.running is None and slot.due <= time.monotonic():
                self._start(slot, messages.get(slot.number, 0))

    def _start(self, slot: _Slot, messages: int) -> None:
        slot.attempt += 1
        slot.messages = messages
        handle = self._nodes.start_actor(
            Actor, slot.number, self._config, slot.number, slot.attempt, self._opponents
        )
        self._handles[slot.number] = handle
        slot.running = handle.run.remote(self._learner)

    def _settle(self, slot: _Slot, messages: int) -> None:
        """Decides what becomes of an actor that has stopped."""
        import ray

        try:
            ray.get(slot.running)
            # The run has ended, so that no other actor is wanted.
            slot.due = float("inf")
        except ray.exceptions.RayActorError as error:
            before = Ends() if messages > slot.messages else slot.ends
            slot.ends = before.add(is_loss=not error.actor_init_failed)
            reason = " ".join(str(error).split())
            if self._retries.give_up(slot.ends) is not None:
                raise LostActorError(
                    f"actor {slot.number} was lost {sum(slot.ends)} times: {reason}"
                ) from None
            wait = self._retries.wait(sum(slot.ends))
            slot.due = time.monotonic() + wait
            print(f"actor {slot.number} was lost and is replaced in {wait:g} s: {reason}", flush=True)
        slot.running = None

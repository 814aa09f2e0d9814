"""The learner of a program on Ray: replay and gradient steps in one process.

The gradient steps run in a thread of their own. Actors add experience by calls in other threads, which wait
while the actors are too far ahead, see `acme_psro.agent_runs.ray_program.flow`.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import jax
import numpy as np
import psutil  # type: ignore[import-untyped]
import ray

from acme_psro.agent_runs.agent_settings import make_replay
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.export import make_core
from acme_psro.agent_runs.ray_program.flow import make_limits
from acme_psro.agent_runs.ray_program.messages import (
    Answer,
    Experience,
    Leaves,
    Report,
    to_decisions,
    to_transition,
)
from acme_psro.games import cache, playing
from acme_psro.games.loading import load_game
from acme_psro.system import compiled_programs
from agents.gradient_steps import GradientSteps
from agents.ring import Ring

# Shortest time between two versions of the variables for actors. Copying them takes about a millisecond.
_SECONDS_BETWEEN_VERSIONS = 0.02
# Random streams of the learner; actors and the evaluator have others.
_STATE_STREAM, _REPLAY_STREAM = 0x57A7E, 0x5A3B1E


class Learner:
    """Replay and gradient steps of one run, to be made as a Ray actor with several threads.

    Args:
      config: configuration of the run.
      state: leaves of the agent's state at the checkpoint from which the run is resumed, or None.
      counts: counts of that checkpoint, by name.
    """

    def __init__(self, config: AgentRunConfig, state: Leaves | None, counts: dict[str, float]) -> None:
        compiled_programs.keep_here(cache.directory() / "xla")
        self._config, replay = config, make_replay(config)
        key, seed = (
            np.random.SeedSequence([config.seed, stream]).generate_state(1)[0]
            for stream in (_STATE_STREAM, _REPLAY_STREAM)
        )
        self._steps = replay.gradient_steps_per_learner_step
        self._learning = GradientSteps(
            make_core(config),
            jax.random.PRNGKey(key),
            to_transition,
            batch_size=replay.batch_size,
            gradient_steps=self._steps,
        )
        if state is not None:
            form = jax.tree.structure(self._learning.save())
            self._learning.restore(jax.tree.unflatten(form, state))
        self._sample = replay.batch_size * self._steps
        self._limits = make_limits(replay)
        self._ring = Ring(min(replay.max_replay_size, config.actor_steps), int(seed))
        self._nothing = playing.make_nothing(load_game(config.environment.partition(":")[2]))
        self._inserted = self._sampled = 0
        self._counts = dict(counts)
        self._row: dict[str, float] | None = None
        self._actor_rows: dict[int, dict[str, float]] = {}
        self._messages: dict[int, int] = {}
        self._version, self._published_at = 0, 0.0
        self._published: Any = None
        self._made_at, self._first_step_at = time.time(), 0.0
        self._is_stale, self._is_ending = True, False
        self._error: BaseException | None = None
        # Guards everything above; waiters are told whenever experience is added or sampled.
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._learn, daemon=True)
        self._thread.start()

    def add(self, actor: int, experience: Experience, version: int) -> Answer:
        """Adds experience as soon as the actors may insert more.

        Args:
          actor: number of the actor.
          experience: what it did since its last call.
          version: number of the variables that the actor has.
        """
        decisions = to_decisions(experience, self._nothing)
        with self._changed:
            while not (self._has_enough() or self._limits.may_insert(self._inserted, self._sampled)):
                self._changed.wait()
            if self._has_enough():
                return Answer(version, None, True)
            self._ring.add_all(decisions)
            self._inserted += len(decisions.reward)
            self._count(actor, experience.episodes)
            self._changed.notify_all()
        newest, variables = self._publish()
        return Answer(newest, None if newest == version else variables, False)

    def variables(self) -> Leaves:
        """Returns the leaves of the newest variables."""
        return jax.tree.leaves(self._learning.variables())

    def state(self) -> tuple[Leaves, dict[str, float]]:
        """Returns the leaves of the agent's state, and the counts."""
        with self._changed:
            counts = dict(self._counts)
        return jax.tree.leaves(self._learning.save()), counts

    def end(self) -> None:
        """Ends training now. The state can still be read."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()

    def report(self) -> Report:
        """Returns what the run's tables need.

        Raises:
          DivergedError: training diverged. The state is that of the last good step.
        """
        if self._error is not None:
            raise self._error
        with self._changed:
            times = (psutil.Process().create_time(), self._made_at, self._first_step_at)
            return Report(
                dict(self._counts),
                self._row,
                dict(self._actor_rows),
                dict(self._messages),
                times if self._first_step_at else None,
                not self._thread.is_alive(),
            )

    def _count(self, actor: int, episodes: list[dict[str, Any]]) -> None:
        """Counts an actor's message, and the steps of episodes that ended, as in Acme's loops."""
        counts = self._counts
        self._messages[actor] = self._messages.get(actor, 0) + 1
        if not episodes:
            return
        counts["actor_episodes"] = counts.get("actor_episodes", 0) + len(episodes)
        ended = sum(row["episode_length"] for row in episodes)
        counts["actor_steps"] = counts.get("actor_steps", 0) + ended
        self._actor_rows[actor] = {**episodes[-1], **counts}

    def _publish(self) -> tuple[int, Any]:
        """Returns the number of the newest variables for actors, and a reference to them."""
        with self._changed:
            is_due = time.monotonic() - self._published_at >= _SECONDS_BETWEEN_VERSIONS
            if self._published is not None and not (self._is_stale and is_due):
                return self._version, [self._published]
            self._is_stale, self._published_at = False, time.monotonic()
        reference = ray.put(self.variables())
        with self._changed:
            self._version += 1
            self._published = reference
            return self._version, [reference]

    def _learn(self) -> None:
        """Runs gradient steps until there is nothing left to learn from."""
        try:
            clock: float | None = None
            while (data := self._draw()) is not None:
                metrics = self._learning.step(data)
                now = time.monotonic()
                with self._changed:
                    self._first_step_at = self._first_step_at or time.time()
                    self._is_stale = True
                    # As of Acme's learners, the first step, in which the update is compiled, takes no time.
                    self._row = {**metrics, **self._add_step(0.0 if clock is None else now - clock)}
                clock = now
        except BaseException as error:
            self._error = error
        finally:
            self.end()

    def _draw(self) -> Any:
        """Waits for the next sample and returns it; None at the end of the run."""
        with self._changed:
            while not self._limits.may_sample(self._inserted, self._sampled, self._sample):
                if self._has_enough():
                    return None
                self._changed.wait()
            if self._is_ending:
                return None
            self._sampled += self._sample
            self._changed.notify_all()
            return self._ring.sample(self._sample)

    def _has_enough(self) -> bool:
        """Returns True if no more experience is wanted."""
        return self._is_ending or self._counts.get("actor_steps", 0) >= self._config.actor_steps

    def _add_step(self, seconds: float) -> dict[str, float]:
        """Counts a step of the learner and returns all counts."""
        for name, value in (("steps", 1), ("gradient_steps", self._steps), ("walltime", seconds)):
            name = f"learner_{name}"
            self._counts[name] = self._counts.get(name, 0) + value
        return dict(self._counts)

"""Gradient steps of an `AgentCore` as in a learner, with batches from the host's memory."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.core import AgentCore, Observation, Transition, join
from experiments.benchmarks.shared.update_operations import Sizes


class Experience(NamedTuple):
    """Transitions `[N, ..]` in the host's memory, in the order of the arguments of `join`."""

    observation: Any
    action: np.ndarray
    reward: np.ndarray
    discount: np.ndarray
    next_observation: Any

    def batches(self, rng: np.random.Generator, size: tuple[int, ...]) -> Experience:
        """Returns uniformly drawn rows `[*size, ..]`, with replacement."""
        rows = rng.integers(len(self.reward), size=size)
        return jax.tree.map(lambda values: values[rows], self)

    def transition(self) -> Transition:
        """Converts one batch to the transitions that an update takes."""
        return join(*jax.tree.map(jnp.asarray, self))


def make_experience(sizes: Sizes) -> Experience:
    """Returns a full buffer of random transitions with continuous actions."""
    rng, rows = np.random.default_rng(0), sizes.buffer_size
    return Experience(
        rng.standard_normal((rows, sizes.observation_size), np.float32),
        rng.uniform(-1, 1, (rows, sizes.action_size)).astype(np.float32),
        rng.standard_normal(rows, np.float32),
        np.ones(rows, np.float32),
        rng.standard_normal((rows, sizes.observation_size), np.float32),
    )


def make_game_experience(sizes: Sizes) -> Experience:
    """Returns a full buffer of random transitions of a game.

    The game has `action_size` actions, and the first one is always legal.
    """
    rng, rows = np.random.default_rng(0), sizes.buffer_size

    def observe() -> Observation:
        info_state = rng.integers(2, size=(rows, sizes.observation_size)).astype(np.float32)
        legal = rng.random((rows, sizes.action_size)) < 0.8
        legal[:, 0] = True
        return Observation(info_state, legal, np.zeros((rows, 0), np.float32))  # type: ignore[arg-type]

    now, then = observe(), observe()
    action = np.argmax(now.legal_actions * rng.random(now.legal_actions.shape), axis=1).astype(np.int32)
    goes_on = (rng.random(rows) < 0.5).astype(np.float32)
    return Experience(now, action, rng.uniform(-1, 1, rows).astype(np.float32), goes_on, then)


class Updates:
    """An agent that learns from a buffer of experience."""

    def __init__(self, core: AgentCore, experience: Experience, batch_size: int) -> None:
        # Online and target parameters may share arrays at first, but an array can be donated only once:
        # copy them.
        self._state = jax.tree.map(jnp.array, core.init(jax.random.key(0)))
        self._experience, self._batch_size = experience, batch_size
        self._rng = np.random.default_rng(1)

        def step(state: Any, batch: Experience) -> tuple[Any, jax.Array]:
            state, metrics = core.update(state, batch.transition())
            return state, metrics["critic_loss"]

        def update(state: Any, batches: Experience) -> tuple[Any, jax.Array]:
            state, losses = jax.lax.scan(step, state, batches)
            return state, losses[-1]

        # The old state is not needed after an update, so its memory is donated to the new one.
        self._update = jax.jit(update, donate_argnums=0)

    def seconds(self, gradient_steps: int, updates: int) -> float:
        """Returns the seconds that `updates` updates take, with `gradient_steps` of them in each call."""
        began = time.perf_counter()
        for _ in range(updates // gradient_steps):
            batches = self._experience.batches(self._rng, (gradient_steps, self._batch_size))
            self._state, loss = self._update(self._state, batches)
            loss.block_until_ready()
        return time.perf_counter() - began

"""Training of best responses on the device, one agent's members side by side.

The learning loop acts in many copies of the compiled game, adds to a replay buffer, samples and updates, as
nested scans. Opponents are tables and the player is a number. Both are data, so the program is traced once
however large populations grow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from acme_psro.games import rollout
from acme_psro.games.compiled import CompiledGame
from acme_psro.games.device_arrays import GameArrays
from acme_psro.games.profiles import make_profiles
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.diversity import bonuses
from acme_psro.oracles.device.experience import (
    Act,
    Experience,
    Role,
    TrainingTask,
    example_item,
    make_acting,
    make_batching,
    observe_all,
)
from acme_psro.oracles.device.ring import make_ring, sample
from agents.core import AgentCore, Metrics, Observation


class OpponentProfiles(NamedTuple):
    """Opponents of a response, as data: others of the same shapes are not traced anew.

    Attributes:
      tables: `[K, R, A]` float32, profiles: a policy for every player, exactly zero on illegal actions. Its
        rows are information states, or nodes, see `make_profiles`. With `table` they are policies that
        profiles share, `[T, R, A]`.
      weights: `[K]` float32, each profile's probability to be drawn for a game; they sum to 1, 0 for padding.
      members: `[K]` int32, the member of `0 .. M-1` that plays against each profile.
      contexts: `[M, C]` float32, each member's observation beside the information state.
      decision_weights: `[K]` float32, the weight of decisions against each profile.
      hull: `[H, R, A]` float32, policies from which the response is to differ; None without
        `DeviceConfig.diversity`.
      table: `[K, P]` int32, the table by which each player plays in each profile; None if each profile has
        one of its own.
    """

    tables: jax.Array
    weights: jax.Array
    members: jax.Array
    contexts: jax.Array
    decision_weights: jax.Array
    hull: jax.Array | None = None
    table: jax.Array | None = None


class Trained(NamedTuple):
    """Result of a training.

    Attributes:
      state: the agent's state.
      probs: `[snapshots, M, I, A]` float32, every member's policy at all information states, evenly spaced
        through training, the last at its end.
      episodes: `[]` int32, the number of finished games.
      decisions: `[]` int32, the number of the learning player's decisions.
      gradient_steps: `[]` int32, the number of optimiser updates.
      metrics: the agent's metrics, averaged over the last snapshot's share of the updates.
    """

    state: Any
    probs: jax.Array
    episodes: jax.Array
    decisions: jax.Array
    gradient_steps: jax.Array
    metrics: dict[str, jax.Array]


class Progress(NamedTuple):
    """Progress of a training, the carry of its scans.

    Attributes:
      state: the agent's state.
      experience: games in progress and the replay buffer.
    """

    state: Any
    experience: Experience


class Snapshot(NamedTuple):
    """A policy during training.

    Attributes:
      probs: `[M, I, A]` float32, every member's policy at all information states.
      metrics: the agent's metrics, averaged since the snapshot before.
    """

    probs: jax.Array
    metrics: Metrics


# (example observation `[1, ..]`, number of actions, gradient steps planned) -> the agent.
MakeAgent = Callable[[Observation, int, int], AgentCore]
Train = Callable[[jax.Array, jax.Array, OpponentProfiles], Trained]


def make_train(compiled: CompiledGame, game: GameArrays, core: AgentCore, config: DeviceConfig) -> Train:
    """Returns train(key, player `[]` int32, opponents) -> Trained.

    The function is pure, to be vmapped over tasks and jitted. Rewards reach the agent divided by the game's
    largest return.
    """
    act = make_acting(compiled, game, core, config.num_envs)
    train_to_snapshot = _make_training_to_snapshot(compiled, game, core, config, act)

    def train(key: jax.Array, player: jax.Array, opponents: OpponentProfiles) -> Trained:
        task = _make_task(game, player, opponents)
        init_key, start_key, fill_key, train_key = jax.random.split(key, 4)
        # The state is made inside the vmapped function, so that its step counter has no task axis. With one,
        # lax.cond becomes a select, and work that is due every few steps is computed at every step.
        state = core.init(init_key)
        games = rollout.start(game, task.profiles, player, start_key, config.num_envs)
        buffer = make_ring(example_item(task.role), config.buffer_size, config.num_envs)
        experience = Experience(games, buffer, jnp.int32(0))
        # The first update finds a batch of experience.
        experience, _ = jax.lax.scan(
            lambda experience, key: (act(task, state, experience, key), None),
            experience,
            jax.random.split(fill_key, config.rounds_before_learning),
        )
        final, snapshots = jax.lax.scan(
            functools.partial(train_to_snapshot, task),
            Progress(state, experience),
            jax.random.split(train_key, config.num_snapshots),
        )
        last = jax.tree.map(lambda values: values[-1], snapshots.metrics)
        # All snapshots are returned, because gains are computed exactly outside of the compiled program.
        return Trained(
            state=final.state,
            probs=snapshots.probs,
            episodes=final.experience.episodes,
            decisions=jnp.int32(config.decisions),
            gradient_steps=jnp.int32(config.updates),
            metrics=last,
        )

    return train


def _make_task(game: GameArrays, player: jax.Array, opponents: OpponentProfiles) -> TrainingTask:
    chex.assert_rank([player, opponents.contexts], [0, 2])
    chex.assert_equal_shape([opponents.weights, opponents.members, opponents.decision_weights])
    profiles = make_profiles(game, opponents.tables, opponents.weights, opponents.table)
    role = Role(player, opponents.contexts)
    return TrainingTask(role, profiles, opponents.members, opponents.decision_weights, opponents.hull)


def _make_training_to_snapshot(
    compiled: CompiledGame,
    game: GameArrays,
    core: AgentCore,
    config: DeviceConfig,
    act: Act,
) -> Callable[[TrainingTask, Progress, jax.Array], tuple[Progress, Snapshot]]:
    """Returns (task, progress, key) -> progress and snapshot after one snapshot's share of the updates."""
    make_batch = make_batching(compiled, game, config.batch_size)
    everywhere = jnp.arange(compiled.num_rows)

    def find_bonuses(
        task: TrainingTask, hull: jax.Array, experience: Experience, state: Any, key: jax.Array
    ) -> jax.Array:
        """Returns `[R, A]`, bonuses of decisions beside the game's rewards."""
        item = sample(experience.buffer, key, config.batch_size)
        visits = jnp.zeros(compiled.num_rows).at[item.infoset].add(item.weight)
        observation = observe_all(game, everywhere, task.role.contexts)
        probs = core.probs(core.variables(state), observation)
        return config.diversity * bonuses(probs, hull, game.legal_actions, visits)

    def update(
        task: TrainingTask, experience: Experience, bonus: jax.Array | None, state: Any, key: jax.Array
    ) -> tuple[Any, Metrics]:
        item = sample(experience.buffer, key, config.batch_size)
        if bonus is not None:
            item = item._replace(reward=item.reward + bonus[item.infoset, item.action])
        return core.update(state, make_batch(task.role, item))

    def train_round(task: TrainingTask, progress: Progress, key: jax.Array) -> tuple[Progress, Metrics]:
        act_key, learn_key = jax.random.split(key)
        experience = act(task, progress.state, progress.experience, act_key)
        # The buffer does not change between the updates of a round, so this scan carries only the agent.
        bonus = None
        if task.hull is not None:
            learn_key, visit_key = jax.random.split(learn_key)
            bonus = find_bonuses(task, task.hull, experience, progress.state, visit_key)
        keys = jax.random.split(learn_key, config.updates_per_round)
        learn = functools.partial(update, task, experience, bonus)
        state, metrics = jax.lax.scan(learn, progress.state, keys)
        return Progress(state, experience), metrics

    def train_to_snapshot(
        task: TrainingTask, progress: Progress, key: jax.Array
    ) -> tuple[Progress, Snapshot]:
        keys = jax.random.split(key, config.rounds_per_snapshot)
        progress, metrics = jax.lax.scan(functools.partial(train_round, task), progress, keys)
        variables = core.variables(progress.state)

        def probs_of(context: jax.Array) -> jax.Array:
            return core.probs(variables, observe_all(game, everywhere, context[None]))

        # One member after the other: all of them everywhere at once would need much memory in large games.
        probs = jax.lax.map(probs_of, task.role.contexts)
        # Metrics are NaN at updates at which they were not due.
        return progress, Snapshot(probs, jax.tree.map(jnp.nanmean, metrics))

    return train_to_snapshot

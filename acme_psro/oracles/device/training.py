"""Training of best responses on the device, one agent's members side by side.

The learning loop acts in many copies of the compiled game, adds to a replay buffer, samples and updates, as
nested scans. Opponents are tables and the player is a number. Both are data, so the program is traced once
however large populations grow.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from acme_psro.games import rollout
from acme_psro.games.compiled import CompiledGame
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


@dataclasses.dataclass(frozen=True)
class DeviceConfig:
    """Budget of one response: games and updates.

    Attributes:
      gradient_steps: optimiser updates of a response; rounded up to whole rounds and snapshots.
      num_envs: games played side by side, for each player.
      batch_size: transitions in an update.
      buffer_size: transitions in the replay buffer; rounded down to whole rounds of all games.
      updates_per_round: updates in a round, after one decision in every game.
      snapshots: the number of exact evaluations of the policy, evenly spaced through training; the best
        snapshot is taken.
      max_extensions: the largest number of further trainings if a response gains less than `enough` of an
        exact response's gain. All players' lanes then train the weak players, and the best response is taken.
        Every training begins with new parameters, because old ones hardly moved when training continued.
      enough: see `max_extensions`.
      seeds_per_response: trainings of each response side by side, from different initial parameters; the best
        one is taken.
      games_per_response: games that are played for a response before it is trained, and kept for all later
        responses, see `acme_psro.oracles.device.kept_games`. If it is 0, games are played while agents learn,
        `num_envs` side by side, and forgotten. If it is not, nothing is played meanwhile, and `num_envs` and
        `buffer_size` do not matter.
      max_games_per_response: `games_per_response` is doubled for each extension, and for good after an
        iteration in which no player's response gained `enough`, but never beyond this.
      trembles: share of games against the others' average policy instead of their meta-strategy, so that
        the response is sensible at information states that the meta-strategy never reaches.
      tremble_weight: weight of decisions in these games; low, so that they decide only there.
      stochastic_responses: True if responses play with the agent's probabilities, False if they play its most
        probable actions. Best responses need not be stochastic, but stochastic ones exploit less and are
        harder to exploit.
      diversity: weight of a response's distance from the mixtures of its population, in the game's largest
        return a nat of KL divergence, see `acme_psro.oracles.device.diversity`; 0 to learn for returns alone.
        The snapshot with the largest sum of gain and weighted distance is taken then. It needs games that are
        played while agents learn.
      lanes_alone: True if each training is a call of its own, for as many at a time as there are cores, or
        workers on a cluster; False if all trainings of an iteration are one call. The numbers differ in their
        rounding, and so do runs.
    """

    gradient_steps: int = 1000
    num_envs: int = 512
    batch_size: int = 256
    buffer_size: int = 50_000
    updates_per_round: int = 4
    snapshots: int = 10
    max_extensions: int = 1
    enough: float = 0.8
    seeds_per_response: int = 1
    games_per_response: int = 0
    max_games_per_response: int = 100_000
    trembles: float = 0.2
    tremble_weight: float = 0.1
    stochastic_responses: bool = False
    diversity: float = 0.0
    lanes_alone: bool = False

    def __post_init__(self) -> None:
        counts = ("gradient_steps", "num_envs", "batch_size", "buffer_size")
        for name in (*counts, "updates_per_round", "snapshots", "seeds_per_response"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("max_extensions", "games_per_response"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}.")
        if self.max_games_per_response < self.games_per_response:
            raise ValueError(
                f"max_games_per_response must be at least games_per_response, {self.games_per_response}."
            )
        for name in ("enough", "trembles", "tremble_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], not {getattr(self, name)}.")
        self._check_diversity()
        if self.buffer_size < self.batch_size:
            raise ValueError(f"buffer_size must be at least batch_size, {self.batch_size}.")
        # One decision of every game is added at once.
        if self.buffer_size < self.num_envs:
            raise ValueError(f"buffer_size must be at least num_envs, {self.num_envs}.")

    def _check_diversity(self) -> None:
        if not 0 <= self.diversity < math.inf:
            raise ValueError(f"diversity must be a number of at least 0, not {self.diversity}.")
        if self.diversity and self.games_per_response:
            raise ValueError(
                "diversity needs games that are played while agents learn: set games_per_response to 0."
            )

    @property
    def num_snapshots(self) -> int:
        return min(self.snapshots, -(-self.gradient_steps // self.updates_per_round))

    @property
    def rounds_per_snapshot(self) -> int:
        return -(-self.gradient_steps // (self.updates_per_round * self.num_snapshots))

    @property
    def updates(self) -> int:
        """Returns `gradient_steps`, rounded up to whole rounds and snapshots."""
        return self.num_snapshots * self.rounds_per_snapshot * self.updates_per_round

    @property
    def rounds_before_learning(self) -> int:
        """Rounds that fill a first batch, and bring games to all stages."""
        return max(4, -(-self.batch_size // self.num_envs))

    @property
    def decisions(self) -> int:
        """Returns the learner's decisions in one training, if games are played while it learns."""
        rounds = self.rounds_before_learning + self.updates // self.updates_per_round
        return rounds * self.num_envs


class OpponentProfiles(NamedTuple):
    """Opponents of a response, as data: others of the same shapes are not traced anew.

    Attributes:
      tables: `[K, R, A]` float32, profiles: a policy for every player, exactly zero on illegal actions. Its
        rows are information states, or nodes, see `rollout.make_profiles`.
      weights: `[K]` float32, each profile's probability to be drawn for a game; they sum to 1, 0 for padding.
      members: `[K]` int32, the member of `0 .. M-1` that plays against each profile.
      contexts: `[M, C]` float32, each member's observation beside the information state.
      decision_weights: `[K]` float32, the weight of decisions against each profile.
      hull: `[H, R, A]` float32, policies from which the response is to differ; None without
        `DeviceConfig.diversity`.
    """

    tables: jax.Array
    weights: jax.Array
    members: jax.Array
    contexts: jax.Array
    decision_weights: jax.Array
    hull: jax.Array | None = None


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


def make_train(
    compiled: CompiledGame, game: rollout.GameArrays, core: AgentCore, config: DeviceConfig
) -> Train:
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


def _make_task(game: rollout.GameArrays, player: jax.Array, opponents: OpponentProfiles) -> TrainingTask:
    chex.assert_rank([player, opponents.contexts], [0, 2])
    chex.assert_equal_shape([opponents.weights, opponents.members, opponents.decision_weights])
    profiles = rollout.make_profiles(game, opponents.tables, opponents.weights)
    role = Role(player, opponents.contexts)
    return TrainingTask(role, profiles, opponents.members, opponents.decision_weights, opponents.hull)


def _make_training_to_snapshot(
    compiled: CompiledGame,
    game: rollout.GameArrays,
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
        """Returns `[R, A]`: what decisions earn beside the game's rewards."""
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

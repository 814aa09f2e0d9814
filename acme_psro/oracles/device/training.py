"""Training best responses, of one agent's members side by side: the learning loop on the device.

Act in many copies of the compiled game, add to a replay buffer, sample, update, as nested scans. Opponents
are tables and the player is a number, both data, so the program is traced once however populations grow.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import flashbax
import jax
import jax.numpy as jnp

from acme_psro.games import rollout
from acme_psro.games.tree import GameTree
from acme_psro.oracles.device.experience import (
    Act,
    Experience,
    Role,
    Setting,
    example_item,
    make_acting,
    make_batching,
    observe_all,
)
from agents.core import AgentCore, Metrics


@dataclasses.dataclass(frozen=True)
class DeviceConfig:
    """How much is played and learned for one response.

    Attributes:
      gradient_steps: optimiser updates of a response; rounded up to whole rounds and snapshots.
      num_envs: games played side by side, for each player.
      batch_size: transitions in an update.
      buffer_size: transitions remembered.
      updates_per_round: a round is one decision in every game, then so many updates.
      snapshots: the policy is evaluated exactly this often, evenly through training; the best is taken.
      max_extensions: where a response gains less than `enough` of what an exact one gains, new ones are
        trained, so often at most, as many of all players together as there are players, and the best is
        taken. They begin with new parameters: trained on, the old ones hardly moved.
      enough: see `max_extensions`.
      trembles: share of games against the others' average policy instead of their meta-strategy, so that
        the response is sensible where the meta-strategy never leads.
      tremble_weight: weight of what happens in these games, low, so that they decide only there.
    """

    gradient_steps: int = 1000
    num_envs: int = 512
    batch_size: int = 256
    buffer_size: int = 50_000
    updates_per_round: int = 4
    snapshots: int = 10
    max_extensions: int = 1
    enough: float = 0.8
    trembles: float = 0.2
    tremble_weight: float = 0.1

    def __post_init__(self) -> None:
        counts = ("gradient_steps", "num_envs", "batch_size", "buffer_size")
        for name in (*counts, "updates_per_round", "snapshots"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.max_extensions < 0:
            raise ValueError(f"max_extensions must not be negative, not {self.max_extensions}.")
        for name in ("enough", "trembles", "tremble_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], not {getattr(self, name)}.")
        if self.buffer_size < self.batch_size:
            raise ValueError(f"buffer_size must be at least batch_size, {self.batch_size}.")

    @property
    def num_snapshots(self) -> int:
        return min(self.snapshots, -(-self.gradient_steps // self.updates_per_round))

    @property
    def rounds_per_snapshot(self) -> int:
        return -(-self.gradient_steps // (self.updates_per_round * self.num_snapshots))

    @property
    def rounds_before_learning(self) -> int:
        """Enough for a first batch, and games at all stages."""
        return max(4, -(-self.batch_size // self.num_envs))


class Opponents(NamedTuple):
    """Whom a response is trained against, as data: another of the same shapes is not traced anew.

    Attributes:
      tables: `[K, I, A]` float32, profiles: a policy for every player, exactly zero on illegal actions.
      weights: `[K]` float32, how often each is drawn, for a game each time; they sum to 1, 0 for padding.
      members: `[K]` int32, the member of `0 .. M-1` who plays against each.
      contexts: `[M, C]` float32, what each member observes beside the information state.
      decision_weights: `[K]` float32, how much decisions against each count.
    """

    tables: jax.Array
    weights: jax.Array
    members: jax.Array
    contexts: jax.Array
    decision_weights: jax.Array


class Trained(NamedTuple):
    """What training leaves behind.

    Attributes:
      state: the agent's.
      probs: `[snapshots, M, I, A]` float32, every member's policy everywhere at even steps through training,
        the last at its end.
      episodes: `[]` int32, games finished.
      metrics: the agent's, averaged over the last snapshot's share of the updates.
    """

    state: Any
    probs: jax.Array
    episodes: jax.Array
    metrics: dict[str, jax.Array]


Train = Callable[[jax.Array, jax.Array, Opponents], Trained]


def make_train(tree: GameTree, game: rollout.GameArrays, core: AgentCore, config: DeviceConfig) -> Train:
    """Returns train(key, player `[]` int32, opponents) -> Trained.

    Pure; to be vmapped over tasks and jitted. Rewards reach the agent divided by the game's
    largest return.
    """
    buffer = flashbax.make_item_buffer(
        max_length=config.buffer_size,
        min_length=config.batch_size,
        sample_batch_size=config.batch_size,
        add_batches=True,
    )
    act = make_acting(tree, game, core, buffer, config.num_envs)
    train_to_snapshot = _make_training_to_snapshot(tree, game, core, config, buffer, act)

    def train(key: jax.Array, player: jax.Array, opponents: Opponents) -> Trained:
        setting = _make_setting(game, player, opponents)
        init_key, start_key, fill_key, train_key = jax.random.split(key, 4)
        # Made here, not outside: the step then has no axis when tasks are vmapped, and what an agent does
        # every few steps only stays a branch instead of being computed at every step.
        state = core.init(init_key)
        games = rollout.start(game, setting.profiles, player, start_key, config.num_envs)
        experience = Experience(games, buffer.init(example_item(setting.role)), jnp.int32(0))
        experience, _ = jax.lax.scan(
            lambda experience, key: (act(setting, state, experience, key), None),
            experience,
            jax.random.split(fill_key, config.rounds_before_learning),
        )
        (state, experience), (probs, metrics) = jax.lax.scan(
            functools.partial(train_to_snapshot, setting),
            (state, experience),
            jax.random.split(train_key, config.num_snapshots),
        )
        last = jax.tree.map(lambda values: values[-1], metrics)
        return Trained(state, probs, experience.episodes, last)

    return train


def _make_setting(game: rollout.GameArrays, player: jax.Array, opponents: Opponents) -> Setting:
    chex.assert_rank([player, opponents.contexts], [0, 2])
    chex.assert_equal_shape([opponents.weights, opponents.members, opponents.decision_weights])
    profiles = rollout.make_profiles(game, opponents.tables, opponents.weights)
    role = Role(player, opponents.contexts)
    return Setting(role, profiles, opponents.members, opponents.decision_weights)


def _make_training_to_snapshot(
    tree: GameTree,
    game: rollout.GameArrays,
    core: AgentCore,
    config: DeviceConfig,
    buffer: Any,
    act: Act,
) -> Callable[[Setting, tuple, jax.Array], tuple[tuple, tuple]]:
    """Returns (setting, (agent's state, experience), key) -> the same later, (`[M, I, A]`, metrics)."""
    make_batch = make_batching(tree, game, config.batch_size)
    everywhere = jnp.arange(tree.num_infosets)

    def update(setting: Setting, experience: Experience, state: Any, key: jax.Array) -> tuple[Any, Metrics]:
        item = buffer.sample(experience.buffer, key).experience
        return core.update(state, make_batch(setting.role, item))

    def train_round(setting: Setting, carry: tuple, key: jax.Array) -> tuple[tuple, Metrics]:
        state, experience = carry
        act_key, learn_key = jax.random.split(key)
        experience = act(setting, state, experience, act_key)
        keys = jax.random.split(learn_key, config.updates_per_round)
        state, metrics = jax.lax.scan(functools.partial(update, setting, experience), state, keys)
        return (state, experience), metrics

    def train_to_snapshot(setting: Setting, carry: tuple, key: jax.Array) -> tuple[tuple, tuple]:
        keys = jax.random.split(key, config.rounds_per_snapshot)
        carry, metrics = jax.lax.scan(functools.partial(train_round, setting), carry, keys)
        variables = core.variables(carry[0])

        def probs_of(context: jax.Array) -> jax.Array:
            return core.probs(variables, observe_all(game, everywhere, context[None]))

        # One member after the other: all of them everywhere at once would need much memory in large games.
        probs = jax.lax.map(probs_of, setting.role.contexts)
        return carry, (probs, jax.tree.map(jnp.nanmean, metrics))

    return train_to_snapshot

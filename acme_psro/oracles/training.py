"""Training one best response: the game and the learning loop on the device.

Act in many copies of the compiled game, add to a replay buffer, sample, update, as nested scans. Opponents
are tables and the player is a number, both data, so the program is traced once however populations grow.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flashbax
import jax
import jax.numpy as jnp

from acme_psro.games import rollout
from acme_psro.games.tree import GameTree
from agents.core import AgentCore, Metrics, Observation, Transition, join


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
      max_extensions: where a response gains less than `enough` of what an exact one gains, so many further
        budgets of `gradient_steps` at most go into new ones, and the best is taken. They begin with new
        parameters: trained on, the old ones hardly moved.
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


class _Item(NamedTuple):
    """A transition as the buffer keeps it: information states by number."""

    infoset: jax.Array
    action: jax.Array
    reward: jax.Array
    discount: jax.Array
    next_infoset: jax.Array
    weight: jax.Array


_EXAMPLE = _Item(jnp.int32(0), jnp.int32(0), jnp.float32(0), jnp.float32(0), jnp.int32(0), jnp.float32(0))


class _Setting(NamedTuple):
    """What a response is trained for."""

    profiles: rollout.Profiles
    player: jax.Array


class _Experience(NamedTuple):
    """What acting goes on from."""

    games: rollout.Games
    buffer: Any
    episodes: jax.Array


class Trained(NamedTuple):
    """What training leaves behind.

    Attributes:
      state: the agent's.
      probs: `[snapshots, I, A]` float32, the policy at even steps through training, the last at its end.
      episodes: `[]` int32, games finished.
      metrics: the agent's, averaged over the last snapshot's share of the updates.
    """

    state: Any
    probs: jax.Array
    episodes: jax.Array
    metrics: dict[str, jax.Array]


def observe(game: rollout.GameArrays, infoset: jax.Array) -> Observation:
    """What the movers at information states `[..]` observe."""
    context = jnp.zeros((*infoset.shape, 0))
    return Observation(game.info_state[infoset], game.legal_actions[infoset], context)


def make_train(
    tree: GameTree, game: rollout.GameArrays, core: AgentCore, config: DeviceConfig
) -> Callable[[jax.Array, jax.Array, jax.Array, jax.Array], Trained]:
    """Returns train(key, player, tables `[K, I, A]`, weights `[K]`) -> Trained.

    Pure; to be vmapped over tasks and jitted. Rewards reach the agent divided by the game's
    largest return.
    """
    make_batch = make_batching(tree, config.batch_size)
    choose = make_choice(tree, game, core, config.num_envs)
    profile_weights = jnp.array([1.0, config.tremble_weight])
    buffer = flashbax.make_item_buffer(
        max_length=config.buffer_size,
        min_length=config.batch_size,
        sample_batch_size=config.batch_size,
        add_batches=True,
    )

    def act(setting: _Setting, state: Any, experience: _Experience, key: jax.Array) -> _Experience:
        act_key, step_key = jax.random.split(key)
        games = experience.games
        infoset = game.infoset[games.node]
        action = choose(setting.player, core.variables(state), act_key, infoset)
        onward, outcome = rollout.step(game, *setting, games, action, step_key)
        item = _Item(
            infoset=infoset,
            action=action,
            reward=outcome.reward / tree.utility_scale,
            discount=1.0 - outcome.done,
            next_infoset=game.infoset[onward.node],
            weight=rollout.deciding(game, setting.player, games) * profile_weights[games.profile],
        )
        added = buffer.add(experience.buffer, item)
        return _Experience(onward, added, experience.episodes + outcome.episodes)

    def update(setting: _Setting, experience: _Experience, state: Any, key: jax.Array) -> tuple[Any, Metrics]:
        item = buffer.sample(experience.buffer, key).experience
        return core.update(state, make_batch(game, setting.player, item))

    def train_round(setting: _Setting, carry: tuple, key: jax.Array) -> tuple[tuple, Metrics]:
        state, experience = carry
        act_key, learn_key = jax.random.split(key)
        experience = act(setting, state, experience, act_key)
        keys = jax.random.split(learn_key, config.updates_per_round)
        state, metrics = jax.lax.scan(functools.partial(update, setting, experience), state, keys)
        return (state, experience), metrics

    def train_to_snapshot(setting: _Setting, carry: tuple, key: jax.Array) -> tuple[tuple, tuple]:
        keys = jax.random.split(key, config.rounds_per_snapshot)
        carry, metrics = jax.lax.scan(functools.partial(train_round, setting), carry, keys)
        everywhere = observe(game, jnp.arange(game.legal_actions.shape[0]))
        probs = core.probs(core.variables(carry[0]), everywhere)
        return carry, (probs, jax.tree.map(jnp.nanmean, metrics))

    def train(key: jax.Array, player: jax.Array, tables: jax.Array, weights: jax.Array) -> Trained:
        setting = _Setting(rollout.make_profiles(game, tables, weights), player)
        init_key, start_key, fill_key, train_key = jax.random.split(key, 4)
        # Made here, not outside: the step then has no axis when tasks are vmapped, and what an agent does
        # every few steps only stays a branch instead of being computed at every step.
        state = core.init(init_key)
        games = rollout.start(game, *setting, start_key, config.num_envs)
        experience = _Experience(games, buffer.init(_EXAMPLE), jnp.int32(0))
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


def make_choice(
    tree: GameTree, game: rollout.GameArrays, core: AgentCore, num_envs: int
) -> Callable[[jax.Array, Any, jax.Array, jax.Array], jax.Array]:
    """Returns (player, agent's variables, key, information states `[B]`) -> actions `[B]`.

    Where the players have fewer information states than there are games, the agent is asked once for each
    of the player's.
    """
    first, most = _own_rows(tree)

    def by_table(player: jax.Array, variables: Any, key: jax.Array, infoset: jax.Array) -> jax.Array:
        rows = jnp.minimum(first[player] + jnp.arange(most), tree.num_infosets - 1)
        behaviour = rollout.cumulative(core.behaviour(variables, observe(game, rows)))
        uniform = jax.random.uniform(key, (infoset.shape[0], 1))
        # Out of range where another player is to move, whose action is not the agent's to choose.
        row = jnp.clip(infoset - first[player], 0, most - 1)
        return jnp.sum(uniform >= behaviour[row], axis=1, dtype=jnp.int32)

    def by_game(player: jax.Array, variables: Any, key: jax.Array, infoset: jax.Array) -> jax.Array:
        del player
        return core.act(variables, key, observe(game, infoset)).astype(jnp.int32)

    return by_table if most <= num_envs else by_game


def _own_rows(tree: GameTree) -> tuple[jax.Array, int]:
    """`[P]`, where each player's information states begin, and how many any player has at most."""
    slices = [tree.infosets_of(player) for player in range(tree.num_players)]
    first = jnp.array([rows.start for rows in slices], jnp.int32)
    return first, max(rows.stop - rows.start for rows in slices)


def make_batching(tree: GameTree, batch_size: int) -> Callable[..., Transition]:
    """Returns (game, player, item) -> transitions.

    Where the players have fewer information states than a batch has observations, the rows are all of the
    player's, padded to the same number for every player; else two a decision.
    """
    first, most = _own_rows(tree)

    def of_all(game: rollout.GameArrays, player: jax.Array, item: _Item) -> Transition:
        rows = jnp.minimum(first[player] + jnp.arange(most), tree.num_infosets - 1)
        return Transition(
            observe(game, rows),
            item.infoset - first[player],
            jnp.where(item.discount > 0, item.next_infoset - first[player], 0),
            item.action,
            item.reward,
            item.discount,
            item.weight,
        )

    def of_each(game: rollout.GameArrays, player: jax.Array, item: _Item) -> Transition:
        del player
        now, then = observe(game, item.infoset), observe(game, item.next_infoset)
        return join(now, item.action, item.reward, item.discount, then)._replace(weight=item.weight)

    return of_all if most <= 2 * batch_size else of_each

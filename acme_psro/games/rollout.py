"""Simulation of a compiled game on the device: many games in parallel, one learner against policy tables.

All functions are pure, and all state is explicit. Each function can be jitted and vmapped (over players,
opponents or seeds). The learner's number is an int32 array and the opponents are arrays too, so nothing is
traced again when the learner changes or a population grows within its padding.

Dimensions: `B` games played in parallel; others as in `device_arrays.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from acme_psro.games.device_arrays import GameArrays
from acme_psro.games.device_moves import Games, begin, choose, deciding, follow, random_move
from acme_psro.games.profiles import Profiles, sample_profiles
from acme_psro.games.tree import TERMINAL


class Outcome(NamedTuple):
    """Result of one decision of the learner, up to its next decision.

    Attributes:
      reward: `[B]` float32, the sum of the learner's rewards until then, after the moves of any player.
      done: `[B]` bool, True if the game ended before the learner's next decision. A new game was then
        started.
      episodes: `[]` int32, the number of games that ended. It can exceed the number of True values in `done`,
        because a new game may end before the learner decides.
    """

    reward: jax.Array
    done: jax.Array
    episodes: jax.Array


def start(game: GameArrays, profiles: Profiles, player: jax.Array, key: jax.Array, num: int) -> Games:
    """Starts `num` games and plays them up to the learner's first decision.

    Args:
      game: the compiled game.
      profiles: the opponents.
      player: `[]` int32, the learner.
      key: the random key.
      num: `B`, the number of games.

    Raises:
      AssertionError: `player` is not a scalar.
    """
    chex.assert_rank(player, 0)
    profile_key, key = jax.random.split(key)
    games = begin(game, sample_profiles(profiles, profile_key, num))
    # Rewards before the first decision cannot depend on the learner's actions, and are dropped.
    games, _ = _play_on(game, profiles, player, games, jnp.zeros(num), key)
    return games


def step(
    game: GameArrays,
    profiles: Profiles,
    player: jax.Array,
    games: Games,
    action: jax.Array,
    key: jax.Array,
) -> tuple[Games, Outcome]:
    """Plays the learner's action in each game, then the other moves up to the learner's next decision.

    A game that ends is followed by a new one, for which a profile is sampled again. If the opponents never
    let the learner decide, the game stops at a node of another player. `deciding` returns False for such a
    game.

    Args:
      game: the compiled game.
      profiles: the opponents.
      player: `[]` int32, the learner.
      games: the games before the step.
      action: `[B]` int32, legal in the games in which the learner is to move, and ignored in the others.
      key: the random key of the step.

    Returns:
      The games after the step, and the outcome of the learner's actions.

    Raises:
      AssertionError: an array has a wrong shape.
    """
    chex.assert_rank([player, action], [0, 1])
    chex.assert_equal_shape([action, games.node, games.profile])
    infoset = game.infoset[games.node]
    slot = game.slot_of_action[infoset, action]
    edge = game.first_child[games.node] + slot
    decides = deciding(game, player, games)
    edge = jnp.where(decides, edge, games.node)
    paid = jnp.where(decides, game.reward[edge, player], 0.0)
    return _play_on(game, profiles, player, choose(decides, follow(game, games, edge), games), paid, key)


class _StepCarry(NamedTuple):
    """Loop carry of `_play_on`; the fields are those of `Games` and `Outcome`."""

    games: Games
    key: jax.Array
    done: jax.Array
    reward: jax.Array
    episodes: jax.Array
    moves: jax.Array


def _play_on(
    game: GameArrays,
    profiles: Profiles,
    player: jax.Array,
    games: Games,
    paid: jax.Array,
    key: jax.Array,
) -> tuple[Games, Outcome]:
    """Plays the moves of chance and opponents until the learner is to move in all games.

    Args:
      game: the compiled game.
      profiles: the opponents.
      player: `[]` int32, the learner.
      games: the games, at any node. Those at a terminal node are started again.
      paid: `[B]` float32, the reward to which later ones are added.
      key: the random key.
    """
    num = games.node.shape[0]

    def is_waiting(carry: _StepCarry) -> jax.Array:
        # The limit on moves ends the loop if the opponents never let the learner decide.
        return jnp.any(game.player[carry.games.node] != player) & (carry.moves < game.max_moves)

    def move(carry: _StepCarry) -> _StepCarry:
        games = carry.games
        key, move_key, profile_key = jax.random.split(carry.key, 3)
        ended = game.player[games.node] == TERMINAL
        # Games that have reached the learner's decision stand still until all others have.
        stands = game.player[games.node] == player
        uniform = jax.random.uniform(move_key, (num,))
        edge = random_move(game, profiles, games, uniform)
        # Any edge will do if a game stands still. This one is the node itself in a tree, which is faster.
        edge = jnp.where(stands, games.node, edge)
        dealt = begin(game, sample_profiles(profiles, profile_key, num))
        onward = choose(ended, dealt, follow(game, games, edge))
        # Rewards of a new game, before its first decision, do not belong to the learner's last action.
        gained = jnp.where(stands | carry.done | ended, 0.0, game.reward[edge, player])
        return _StepCarry(
            games=choose(stands, games, onward),
            key=key,
            done=carry.done | ended,
            reward=carry.reward + gained,
            episodes=carry.episodes + ended.sum(),
            moves=carry.moves + 1,
        )

    init = _StepCarry(games, key, jnp.zeros(num, bool), paid, jnp.int32(0), jnp.int32(0))
    final = jax.lax.while_loop(is_waiting, move, init)
    return final.games, Outcome(final.reward, final.done, final.episodes)


class _PlayCarry(NamedTuple):
    """Loop carry of `play`: games, random key, summed rewards `[B, P]` and games left to play `[B]`."""

    games: Games
    key: jax.Array
    total: jax.Array
    left: jax.Array


def play(
    game: GameArrays, profiles: Profiles, key: jax.Array, num_lanes: int, games_per_lane: int
) -> jax.Array:
    """Estimates the expected returns of games in which all players follow the profiles.

    Games are played in parallel lanes, one after the other in each lane. Each game that is started is also
    finished and counted. Otherwise short games would be over-represented, and the means would be biased.
    Lanes wait for the slowest one only at the end, so more games per lane mean less waiting.

    Args:
      game: the compiled game.
      profiles: the policies of all players.
      key: the random key.
      num_lanes: `B`, the number of games played in parallel.
      games_per_lane: the number of games played one after the other in each lane.

    Returns:
      `[P]` float32, the mean returns of `num_lanes * games_per_lane` games.
    """

    def is_playing(carry: _PlayCarry) -> jax.Array:
        return jnp.any(carry.left > 0)

    def move(carry: _PlayCarry) -> _PlayCarry:
        games, left = carry.games, carry.left
        key, move_key, profile_key = jax.random.split(carry.key, 3)
        edge = random_move(game, profiles, games, jax.random.uniform(move_key, (num_lanes,)))
        edge = jnp.where(left > 0, edge, games.node)
        onward = choose(left > 0, follow(game, games, edge), games)
        total = carry.total + jnp.where((left > 0)[:, None], game.reward[edge], 0.0)
        ended = game.player[onward.node] == TERMINAL
        dealt = begin(game, sample_profiles(profiles, profile_key, num_lanes))
        return _PlayCarry(
            games=choose(ended, dealt, onward),
            key=key,
            total=total,
            left=left - (ended & (left > 0)),
        )

    key, profile_key = jax.random.split(key)
    games = begin(game, sample_profiles(profiles, profile_key, num_lanes))
    total = jnp.zeros((num_lanes, game.reward.shape[1]))
    left = jnp.full(num_lanes, games_per_lane, jnp.int32)
    final = jax.lax.while_loop(is_playing, move, _PlayCarry(games, key, total, left))
    return final.total.mean(axis=0) / games_per_lane

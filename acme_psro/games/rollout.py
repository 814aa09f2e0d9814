"""Playing a `GameTree` on the device: many games at once, one learning player against policy tables.

Pure functions over explicit state; every one is jittable and vmappable (over players, opponents, seeds).
The player is an int32 array, the opponents are data: nothing here is traced anew when a population grows.

Dimensions: `B` games played side by side, `K` opponent profiles; others as in `tree.py`. A profile is one
`[I, A]` table with a policy for every player. A product of meta-strategies needs one profile only, the
behaviour of the mixture; correlated ones need one profile a joint choice.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.games.tree import CHANCE, TERMINAL, GameTree

_ALWAYS = 2.0  # Above every uniform number, so that rounding never runs past the last possible slot.


class GameArrays(NamedTuple):
    """The part of a `GameTree` that play needs, on the device.

    Attributes:
      player: `[N]` int32.
      infoset: `[N]` int32; 0 where nobody decides, so that it can always be used as an index.
      first_child: `[N]` int32.
      num_children: `[N]` int32.
      alias_threshold: `[N]` float32, for a child of a chance node: see `_alias_tables`.
      alias_slot: `[N]` int32.
      reward: `[N, P]` float32.
      info_state: `[I, D]` float32.
      legal_actions: `[I, A]` bool.
      slot_of_action: `[I, A]` int32.
      action_of_slot: `[I, A]` int32.
      max_moves: `[]` int32, moves that finish one game and start the next, at most.
    """

    player: jax.Array
    infoset: jax.Array
    first_child: jax.Array
    num_children: jax.Array
    alias_threshold: jax.Array
    alias_slot: jax.Array
    reward: jax.Array
    info_state: jax.Array
    legal_actions: jax.Array
    slot_of_action: jax.Array
    action_of_slot: jax.Array
    max_moves: jax.Array


class Profiles(NamedTuple):
    """Opponents as data.

    Attributes:
      cumulative: `[K, I, A]` float32, cumulative probabilities over slots.
      weights: `[K]` float32, cumulative probabilities of the profiles; one is drawn for every game.
    """

    cumulative: jax.Array
    weights: jax.Array


class Games(NamedTuple):
    """Games in progress.

    Attributes:
      node: `[B]` int32.
      profile: `[B]` int32, the opponents drawn for this game.
    """

    node: jax.Array
    profile: jax.Array


class Outcome(NamedTuple):
    """What one decision of the learning player led to, up to its next decision.

    Attributes:
      reward: `[B]` float32, the sum of what was paid until then, whoever moved.
      done: `[B]` bool, the game ended before the player's next decision, and a new one was begun.
      episodes: `[]` int32, games that ended.
    """

    reward: jax.Array
    done: jax.Array
    episodes: jax.Array


def make_arrays(tree: GameTree) -> GameArrays:
    """Puts a compiled game on the device."""
    threshold, alias = _alias_tables(tree)
    return GameArrays(
        player=jnp.asarray(tree.player, jnp.int32),
        infoset=jnp.asarray(np.maximum(tree.infoset, 0), jnp.int32),
        first_child=jnp.asarray(tree.first_child),
        num_children=jnp.asarray(tree.num_children),
        alias_threshold=jnp.asarray(threshold, jnp.float32),
        alias_slot=jnp.asarray(alias, jnp.int32),
        reward=jnp.asarray(tree.reward, jnp.float32),
        info_state=jnp.asarray(tree.info_state),
        legal_actions=jnp.asarray(tree.legal_actions),
        slot_of_action=jnp.asarray(np.argsort(tree.action_of_slot, axis=1), jnp.int32),
        action_of_slot=jnp.asarray(tree.action_of_slot),
        max_moves=jnp.asarray(2 * (len(tree.depth_offsets) - 1), jnp.int32),
    )


def _alias_tables(tree: GameTree) -> tuple[np.ndarray, np.ndarray]:
    """Walker's alias tables (Vose 1991), so that a chance event costs one look-up however many outcomes.

    Returns:
      Thresholds `[N]` and slots `[N]`: having drawn child k of a chance node evenly, keep it with
      probability threshold[k], else take the child in slot[k].
    """
    threshold, alias = np.ones(tree.num_nodes), tree.slot.copy()
    for node in np.flatnonzero(tree.player == CHANCE):
        first, count = tree.first_child[node], tree.num_children[node]
        scaled = tree.probability[first : first + count] * count
        small = [k for k in range(count) if scaled[k] < 1.0]
        large = [k for k in range(count) if scaled[k] >= 1.0]
        while small and large:
            low, high = small.pop(), large[-1]
            threshold[first + low], alias[first + low] = scaled[low], high
            scaled[high] -= 1.0 - scaled[low]
            if scaled[high] < 1.0:
                small.append(large.pop())
    return threshold, alias


def make_profiles(game: GameArrays, tables: jax.Array, weights: jax.Array) -> Profiles:
    """Opponents from policy tables.

    Args:
      tables: `[K, I, A]` probabilities, exactly zero on illegal actions.
      weights: `[K]`, non-negative, summing to one; zero for padding.
    """
    chex.assert_rank([tables, weights], [3, 1])
    slots = jnp.take_along_axis(tables, game.action_of_slot[None], axis=2)
    return Profiles(cumulative(slots), cumulative(weights))


def cumulative(probabilities: jax.Array) -> jax.Array:
    """Cumulative sums along the last axis, out of reach from the last possible entry on.

    A uniform number then draws the entry whose index is how many of these it is not below.
    """
    total = jnp.cumsum(probabilities, axis=-1)
    later = jnp.cumsum(probabilities[..., ::-1], axis=-1)[..., ::-1] - probabilities
    return jnp.where(later <= 0.0, _ALWAYS, total)


def start(game: GameArrays, profiles: Profiles, player: jax.Array, key: jax.Array, num: int) -> Games:
    """Begins `num` games and plays them to the player's first decision."""
    profile_key, key = jax.random.split(key)
    games = Games(jnp.zeros(num, jnp.int32), _draw_profiles(profiles, profile_key, num))
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
    """Plays the player's action in every game, then the others' moves up to its next decision.

    A game that ends is followed by a new one with newly drawn opponents. Where opponents never let the
    player decide, a game stays at a node that is not the player's: `deciding` tells.

    Args:
      player: `[]` int32.
      action: `[B]` int32, legal where the player decides; ignored elsewhere.
    """
    chex.assert_rank([player, action], [0, 1])
    infoset = game.infoset[games.node]
    slot = game.slot_of_action[infoset, action]
    moved = game.first_child[games.node] + slot
    asked = deciding(game, player, games)
    node = jnp.where(asked, moved, games.node)
    paid = jnp.where(asked, game.reward[node, player], 0.0)
    return _play_on(game, profiles, player, games._replace(node=node), paid, key)


def deciding(game: GameArrays, player: jax.Array, games: Games) -> jax.Array:
    """`[B]` bool: whether the player is to move."""
    return game.player[games.node] == player


def _play_on(
    game: GameArrays,
    profiles: Profiles,
    player: jax.Array,
    games: Games,
    paid: jax.Array,
    key: jax.Array,
) -> tuple[Games, Outcome]:
    """Moves chance and opponents until the player decides; starts games anew where they end."""
    num = games.node.shape[0]

    def waiting(carry: tuple) -> jax.Array:
        games, *_, moves = carry
        return jnp.any(game.player[games.node] != player) & (moves < game.max_moves)

    def move(carry: tuple) -> tuple:
        games, key, done, reward, episodes, moves = carry
        key, move_key, profile_key = jax.random.split(key, 3)
        ended = game.player[games.node] == TERMINAL
        uniform = jax.random.uniform(move_key, (num,))
        onward = random_move(game, profiles, games, uniform)
        profile = _draw_profiles(profiles, profile_key, num)
        node = jnp.where(ended, 0, onward)
        node = jnp.where(game.player[games.node] == player, games.node, node)
        moved = node != games.node
        gained = jnp.where(moved & ~(done | ended), game.reward[node, player], 0.0)
        fresh = Games(node, jnp.where(ended, profile, games.profile))
        return fresh, key, done | ended, reward + gained, episodes + ended.sum(), moves + 1

    init = (games, key, jnp.zeros(num, bool), paid, jnp.int32(0), jnp.int32(0))
    games, _, done, reward, episodes, _ = jax.lax.while_loop(waiting, move, init)
    return games, Outcome(reward, done, episodes)


def random_move(game: GameArrays, profiles: Profiles, games: Games, uniform: jax.Array) -> jax.Array:
    """`[B]`: the node after chance or the profile's player has moved; anything at terminal nodes.

    Args:
      uniform: `[B]` in [0, 1), all the randomness of the move.
    """
    node = games.node
    first = game.first_child[node]
    cumulative = profiles.cumulative[games.profile, game.infoset[node]]
    chosen = first + jnp.sum(uniform[:, None] >= cumulative, axis=1, dtype=jnp.int32)
    scaled = uniform * game.num_children[node]
    even = jnp.minimum(scaled.astype(jnp.int32), game.num_children[node] - 1)
    drawn = first + even
    keep = scaled - even < game.alias_threshold[drawn]
    drawn = jnp.where(keep, drawn, first + game.alias_slot[drawn])
    return jnp.where(game.player[node] == CHANCE, drawn, chosen)


def _draw_profiles(profiles: Profiles, key: jax.Array, num: int) -> jax.Array:
    if profiles.weights.shape[0] == 1:
        return jnp.zeros(num, jnp.int32)
    uniform = jax.random.uniform(key, (num, 1))
    return jnp.sum(uniform >= profiles.weights, axis=1, dtype=jnp.int32)


def play(
    game: GameArrays, profiles: Profiles, key: jax.Array, num_lanes: int, games_per_lane: int
) -> jax.Array:
    """`[P]` float32: mean returns of `num_lanes * games_per_lane` games between the profiles.

    Every game that is begun is finished and counted, so the means are unbiased. Lanes wait for the slowest
    one at the end only: more games a lane, less waiting.
    """

    def playing(carry: tuple) -> jax.Array:
        _, _, _, left = carry
        return jnp.any(left > 0)

    def move(carry: tuple) -> tuple:
        games, key, total, left = carry
        key, move_key, profile_key = jax.random.split(key, 3)
        onward = random_move(game, profiles, games, jax.random.uniform(move_key, (num_lanes,)))
        node = jnp.where(left > 0, onward, games.node)
        total += jnp.where((left > 0)[:, None], game.reward[node], 0.0)
        ended = game.player[node] == TERMINAL
        profile = _draw_profiles(profiles, profile_key, num_lanes)
        games = Games(jnp.where(ended, 0, node), jnp.where(ended, profile, games.profile))
        return games, key, total, left - (ended & (left > 0))

    key, profile_key = jax.random.split(key)
    games = Games(jnp.zeros(num_lanes, jnp.int32), _draw_profiles(profiles, profile_key, num_lanes))
    total = jnp.zeros((num_lanes, game.reward.shape[1]))
    left = jnp.full(num_lanes, games_per_lane, jnp.int32)
    _, _, total, _ = jax.lax.while_loop(playing, move, (games, key, total, left))
    return total.mean(axis=0) / games_per_lane

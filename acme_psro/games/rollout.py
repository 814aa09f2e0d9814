"""Simulation of a compiled game on the device: many games in parallel, one learner against policy tables.

All functions are pure, and all state is explicit. Each function can be jitted and vmapped (over players,
opponents or seeds). The learner's number is an int32 array and the opponents are arrays too, so nothing is
traced again when the learner changes or a population grows within its padding.

Trees and graphs are simulated alike: a move leads over an edge, which pays, to the node behind it. In a graph
that node may be the same one.

Dimensions: `B` games played in parallel, `K` opponent profiles; others as in `device_arrays.py`. A profile
is one `[I, A]` table that holds a policy for each player. For a product of meta-strategies one profile is
enough: the behaviour policy of each player's mixture. Correlated opponents need one profile per joint choice,
or one table with a row for each node.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from acme_psro.games.device_arrays import GameArrays as GameArrays
from acme_psro.games.device_arrays import make_arrays as make_arrays
from acme_psro.games.tree import CHANCE, TERMINAL

# Larger than every uniform number, so that rounding can never select an impossible slot.
_UNREACHABLE = 2.0
# Comparing a number with all sums at once is faster than a binary search up to about this many sums.
_FEW = 32


class Profiles(NamedTuple):
    """Opponents, represented by arrays.

    Attributes:
      cumulative: `[K, I, A]` float32, cumulative probabilities over the slots of each information state.
      weights: `[K]` float32, cumulative probabilities of the profiles. One profile is sampled per game.
      table: `[K]` int32, the row of `cumulative`, then `[T, I, A]`, that each profile plays by, if several
        profiles share one; None if each has its own.
      row: `[N]` int32, the row of a table by which its mover plays at each node, if that is not the mover's
        information state; None if it is.
    """

    cumulative: jax.Array
    weights: jax.Array
    table: jax.Array | None = None
    row: jax.Array | None = None


class Games(NamedTuple):
    """Games in progress.

    Attributes:
      node: `[B]` int32, the current node.
      profile: `[B]` int32, the profile that was sampled for the game.
      moves: `[B]` int32, the moves since the game began, or None if the game has no horizon.
    """

    node: jax.Array
    profile: jax.Array
    moves: jax.Array | None = None


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


def make_profiles(game: GameArrays, tables: jax.Array, weights: jax.Array) -> Profiles:
    """Makes opponents from policy tables.

    Args:
      game: the compiled game.
      tables: `[K, I, A]` probabilities, exactly zero on illegal actions; or `[K, N, A]`, a row for each node,
        if opponents are correlated and their moves depend on more than the mover sees.
      weights: `[K]` probabilities of the profiles, zero for profiles that are only padding.

    Raises:
      AssertionError: an array has a wrong shape.
    """
    chex.assert_rank([tables, weights], [3, 1])
    action_of_slot, row = game.action_of_slot, None
    # Every game has more nodes than information states, so that the shapes differ.
    if tables.shape[1] == len(game.player):
        row = jnp.arange(len(game.player))
        action_of_slot = action_of_slot[game.infoset]
    chex.assert_shape(tables, (*weights.shape, *action_of_slot.shape))
    slots = jnp.take_along_axis(tables, action_of_slot[None], axis=2)
    return Profiles(cumulative(slots), cumulative(weights), row=row)


def cumulative(probabilities: jax.Array) -> jax.Array:
    """Computes cumulative sums along the last axis, for sampling by inversion.

    A uniform number in [0, 1) selects the entry whose index is the number of sums that do not exceed it. From
    the last entry with a positive probability on, the sums are replaced by a number above 1. Float32 sums may
    end slightly below 1, and a uniform number beyond them would otherwise select an entry of probability
    zero.

    Args:
      probabilities: `[.., n]`, non-negative, with sum 1.

    Returns:
      `[.., n]` cumulative sums.
    """
    total = jnp.cumsum(probabilities, axis=-1)
    later = jnp.cumsum(probabilities[..., ::-1], axis=-1)[..., ::-1] - probabilities
    return jnp.where(later <= 0.0, _UNREACHABLE, total)


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


def begin(game: GameArrays, profile: jax.Array) -> Games:
    """Returns games at their roots, with given profiles `[B]` int32."""
    node = jnp.zeros_like(profile)
    return Games(node, profile, None if game.horizon is None else node)


def follow(game: GameArrays, games: Games, edge: jax.Array) -> Games:
    """Moves each game over an edge `[B]` int32. At the horizon of a cyclic graph, it ends.

    Raises:
      AssertionError: `edge` has a wrong shape.
      ValueError: the graph is cyclic, and the games do not count their moves.
    """
    chex.assert_equal_shape([edge, games.node])
    node = edge if game.successor is None else game.successor[edge]
    if game.horizon is None:
        return games._replace(node=node)
    if games.moves is None:
        raise ValueError("games on a cyclic graph must count their moves: make them by begin or start.")
    moves = games.moves + 1
    return games._replace(node=jnp.where(moves < game.horizon.moves, node, game.horizon.node), moves=moves)


def choose(condition: jax.Array, one: Games, other: Games) -> Games:
    """Returns the games of `one` if the condition `[B]` holds, and those of `other` if not."""
    chosen: Games = jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)
    return chosen


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


def deciding(game: GameArrays, player: jax.Array, games: Games) -> jax.Array:
    """Returns `[B]` bool, True in the games in which the player is to move."""
    return game.player[games.node] == player


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


def random_move(game: GameArrays, profiles: Profiles, games: Games, uniform: jax.Array) -> jax.Array:
    """Samples a move of chance, or of the profile's policy, in each game.

    Args:
      game: the compiled game.
      profiles: the opponents.
      games: the games before the move.
      uniform: `[B]` float32 in [0, 1), the only source of randomness.

    Returns:
      `[B]` int32, the edge of the move. The value is arbitrary for games at a terminal node.

    Raises:
      AssertionError: an array has a wrong shape.
    """
    chex.assert_rank(uniform, 1)
    chex.assert_equal_shape([uniform, games.node, games.profile])
    node = games.node
    first = game.first_child[node]
    # Policies are sampled by inversion of their cumulative sums.
    table = games.profile if profiles.table is None else profiles.table[games.profile]
    row = game.infoset[node] if profiles.row is None else profiles.row[node]
    sums = profiles.cumulative[table, row]
    chosen = first + jnp.sum(uniform[:, None] >= sums, axis=1, dtype=jnp.int32)
    return jnp.where(game.player[node] == CHANCE, draw_chance(game, node, uniform), chosen)


def draw_chance(game: GameArrays, node: jax.Array, uniform: jax.Array) -> jax.Array:
    """Samples edges `[B]` int32 that chance takes at nodes `[B]`, by the alias method.

    Args:
      game: the compiled game.
      node: the nodes; the result is arbitrary where chance does not move.
      uniform: `[B]` float32 in [0, 1), the only source of randomness.
    """
    first = game.first_child[node]
    # The integer part of the scaled number selects a child uniformly, and the fraction, which is independent
    # of it, decides between the child and its alias.
    scaled = uniform * game.num_children[node]
    # In float32 the product may be rounded up to the number of children, so the slot is limited.
    uniform_slot = jnp.minimum(scaled.astype(jnp.int32), game.num_children[node] - 1)
    drawn = first + uniform_slot
    keep = scaled - uniform_slot < game.alias_threshold[drawn]
    return jnp.where(keep, drawn, first + game.alias_slot[drawn])


def sample_profiles(profiles: Profiles, key: jax.Array, num: int) -> jax.Array:
    """Samples `[num]` int32 indices of profiles by their weights."""
    # The number of profiles is static, so no random numbers are generated if there is no choice.
    if profiles.weights.shape[0] == 1:
        return jnp.zeros(num, jnp.int32)
    uniform = jax.random.uniform(key, (num, 1))
    if profiles.weights.shape[0] > _FEW:
        return jnp.searchsorted(profiles.weights, uniform[:, 0], side="right").astype(jnp.int32)
    return jnp.sum(uniform >= profiles.weights, axis=1, dtype=jnp.int32)


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

"""Single moves of many games in parallel on the device: of chance, and of a profile's policies.

Trees and graphs are simulated alike: a move leads over an edge, which pays, to the node behind it. In a graph
that node may be the same one.

Dimensions: `B` games played in parallel; others as in `device_arrays.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from acme_psro.games.device_arrays import GameArrays
from acme_psro.games.profiles import Profiles, sums_of_moves
from acme_psro.games.tree import CHANCE


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


def deciding(game: GameArrays, player: jax.Array, games: Games) -> jax.Array:
    """Returns `[B]` bool, True in the games in which the player is to move."""
    return game.player[games.node] == player


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
    sums = sums_of_moves(game, profiles, games.profile, node)
    chosen = first + jnp.sum(uniform[:, None] >= sums, axis=1, dtype=jnp.int32)
    return jnp.where(game.player[node] == CHANCE, draw_chance(game, node, uniform), chosen)


def draw_chance(game: GameArrays, node: jax.Array, uniform: jax.Array) -> jax.Array:
    """Samples edges `[B]` int32 that chance takes at nodes `[B]`, by the alias method.

    Args:
      game: the compiled game.
      node: the nodes; the result is arbitrary for those at which chance does not move.
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

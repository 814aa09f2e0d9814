"""Opponent profiles: policies of all players as arrays, by which simulated games are played on the device.

Dimensions: `K` profiles; others as in `device_arrays.py`. A profile is one `[I, A]` table that holds a policy
for each player. For a product of meta-strategies one profile is enough: the behaviour policy of each player's
mixture. Correlated opponents need one profile per joint choice, or one table with a row for each node.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from acme_psro.games.device_arrays import GameArrays

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
        profiles share one; or `[K, P]`, the row by which each player plays in it; None if each profile has
        its own.
      row: `[N]` int32, the row of a table by which its mover plays at each node, if that is not the mover's
        information state; None if it is.
    """

    cumulative: jax.Array
    weights: jax.Array
    table: jax.Array | None = None
    row: jax.Array | None = None


def make_profiles(
    game: GameArrays, tables: jax.Array, weights: jax.Array, table: jax.Array | None = None
) -> Profiles:
    """Makes opponents from policy tables.

    Args:
      game: the compiled game.
      tables: `[K, I, A]` probabilities, exactly zero on illegal actions; or `[K, N, A]`, a row for each node,
        if opponents are correlated and their moves depend on more than the mover sees.
      weights: `[K]` probabilities of the profiles, zero for profiles that are only padding.
      table: the tables, then `[T, ..]`, by which profiles play, see `Profiles.table`; None if each has its
        own.

    Raises:
      AssertionError: an array has a wrong shape.
    """
    chex.assert_rank([tables, weights], [3, 1])
    action_of_slot, row = game.action_of_slot, None
    # Every game has more nodes than information states, so that the shapes differ.
    if tables.shape[1] == len(game.player):
        row = jnp.arange(len(game.player))
        action_of_slot = action_of_slot[game.infoset]
    own = weights.shape if table is None else tables.shape[:1]
    chex.assert_shape(tables, (*own, *action_of_slot.shape))
    if table is not None:
        chex.assert_equal(table.shape[0], weights.shape[0])
    slots = jnp.take_along_axis(tables, action_of_slot[None], axis=2)
    return Profiles(cumulative(slots), cumulative(weights), table, row)


def sums_of_moves(game: GameArrays, profiles: Profiles, profile: jax.Array, node: jax.Array) -> jax.Array:
    """Returns `[B, A]`: the cumulative probabilities by which the movers at nodes choose their slots.

    Args:
      game: the compiled game.
      profiles: the opponents.
      profile: `[B]` int32, the profile of each game.
      node: `[B]` int32, its node. The result is arbitrary if no player moves there.
    """
    row = game.infoset[node] if profiles.row is None else profiles.row[node]
    if profiles.table is None:
        return profiles.cumulative[profile, row]
    if profiles.table.ndim == 1:
        return profiles.cumulative[profiles.table[profile], row]
    mover = jnp.maximum(game.player[node], 0)
    return profiles.cumulative[profiles.table[profile, mover], row]


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


def sample_profiles(profiles: Profiles, key: jax.Array, num: int) -> jax.Array:
    """Samples `[num]` int32 indices of profiles by their weights."""
    # The number of profiles is static, so no random numbers are generated if there is no choice.
    if profiles.weights.shape[0] == 1:
        return jnp.zeros(num, jnp.int32)
    uniform = jax.random.uniform(key, (num, 1))
    if profiles.weights.shape[0] > _FEW:
        return jnp.searchsorted(profiles.weights, uniform[:, 0], side="right").astype(jnp.int32)
    return jnp.sum(uniform >= profiles.weights, axis=1, dtype=jnp.int32)

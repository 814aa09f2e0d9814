"""Seats: the players as the network sees them, and the contexts that tell it which member plays.

Dimensions: `N` members, `I` information states over all players.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.games.compiled import CompiledGame


class Seats(NamedTuple):
    """The players as the network sees them.

    Attributes:
      player: `[I]` int32, the player to move at each information state.
      seen: `[I]` int32, the information state whose observation the network sees; in a symmetric game that of
        player 0 in both seats, and otherwise itself.
      context: `[I]` float32, the player in the context; 0 for both players in a symmetric game.
    """

    player: jax.Array
    seen: jax.Array
    context: jax.Array


def make_contexts(rows: jax.Array, seat: jax.Array) -> jax.Array:
    """Returns contexts `[.., N + 1]` of mixtures `[.., N]` and players `[..]`, see `Seats.context`."""
    return jnp.concatenate([rows, seat[..., None]], axis=-1)


def make_seats(compiled: CompiledGame, counterpart: np.ndarray | None) -> Seats:
    """Returns the seats of a game.

    Args:
      compiled: the game, a tree or a graph.
      counterpart: `[I]`, player 0's information state for each one, if the game is symmetric.
    """
    player = np.zeros(compiled.num_rows, np.int32)
    player[compiled.rows_of(1)] = 1
    own = np.arange(compiled.num_rows)
    seen = own if counterpart is None else counterpart
    context = player if counterpart is None else np.zeros_like(player)
    return Seats(jnp.asarray(player), jnp.asarray(seen, jnp.int32), jnp.asarray(context, jnp.float32))

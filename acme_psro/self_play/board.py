"""A compiled game, tree or graph, in the form that self-play needs.

Dimensions: `O` observations over all players (the information states of a tree), `A` actions, `P` players.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from acme_psro.games.device_arrays import GameArrays, make_arrays
from acme_psro.games.graph import GameGraph
from acme_psro.games.tree import CHANCE, GameTree
from agents.core import Observation


class Board(NamedTuple):
    """A compiled game on the device, with what does not change while it is played.

    Attributes:
      arrays: the game.
      observation: `[O, ..]`, everything that movers can observe; the context is the mover, one-hot, `[O, P]`.
      num_players: `P`.
      utility_scale: the game's largest return, by which rewards are divided.
      has_chance: True if chance moves at any node.
    """

    arrays: GameArrays
    observation: Observation
    num_players: int
    utility_scale: float
    has_chance: bool

    @property
    def num_observations(self) -> int:
        return int(self.observation.legal_actions.shape[0])

    @property
    def num_actions(self) -> int:
        return int(self.observation.legal_actions.shape[1])


def make_board(game: GameTree | GameGraph) -> Board:
    """Copies a compiled game to the device.

    Raises:
      ValueError: no player ever moves.
    """
    movers = _movers(game)
    if not len(movers):
        raise ValueError(f"no player ever moves in {game.game_string}: there is nothing to learn.")
    observation = Observation(
        info_state=jnp.asarray(game.info_state, jnp.float32),
        legal_actions=jnp.asarray(game.legal_actions),
        context=jnp.asarray(np.eye(game.num_players, dtype=np.float32)[movers]),
    )
    return Board(
        arrays=make_arrays(game),
        observation=observation,
        num_players=game.num_players,
        utility_scale=float(game.utility_scale),
        has_chance=bool((game.player == CHANCE).any()),
    )


def _movers(game: GameTree | GameGraph) -> np.ndarray:
    """Returns `[O]`, the player to whom each observation belongs."""
    slices = [game.rows_of(player) for player in range(game.num_players)]
    # Rows are ordered by player.
    return np.repeat(np.arange(game.num_players), [each.stop - each.start for each in slices])

"""Moves of games on the device, many side by side, from one decision to the next.

What happens between two decisions is played here: moves of chance, the end of a game, and the deal of the
next one. Games may have fixed opponents, one of whom is drawn when a game begins.

Dimensions: `E` games side by side, `K` opponent profiles; others as in `acme_psro.self_play.board`.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from acme_psro.games.device_moves import Games, begin, choose, draw_chance, follow
from acme_psro.games.profiles import Profiles, sample_profiles
from acme_psro.games.tree import CHANCE, TERMINAL
from acme_psro.self_play.board import Board


class Step(NamedTuple):
    """Result of one decision in every game.

    Attributes:
      games: the games at their next decisions.
      reward: `[E, P]` float32, all players' rewards after the decision, in the game's utility units.
      ended: `[E]` bool, True if the game ended, so that the next decision belongs to another one.
      episodes: `[]` int32, the number of games that ended.
    """

    games: Games
    reward: jax.Array
    ended: jax.Array
    episodes: jax.Array


class FixedOpponents(NamedTuple):
    """Fixed opponents of one player, whose decisions are the only ones to be learned from.

    Attributes:
      player: `[]` int32, the player who learns.
      profiles: the others' policies, one of which is drawn for each game.
      decision_weights: `[K]` float32, the weight of decisions in games against each profile.
    """

    player: jax.Array
    profiles: Profiles
    decision_weights: jax.Array


def start(board: Board, key: jax.Array, num_games: int, opponents: FixedOpponents | None = None) -> Games:
    """Returns games at their first decisions."""
    profile_key, key = jax.random.split(key)
    profile = jnp.zeros(num_games, jnp.int32)
    games = begin(board.arrays, _draw_profiles(opponents, profile_key, profile))
    reward = jnp.zeros((num_games, board.num_players))
    step = Step(games, reward, jnp.zeros(num_games, bool), jnp.int32(0))
    return _settle(board, step, key, opponents).games


def move(
    board: Board, games: Games, action: jax.Array, key: jax.Array, opponents: FixedOpponents | None = None
) -> Step:
    """Plays the action of the player to move in every game, then chance's moves up to the next decision.

    Args:
      board: the game.
      games: the games before.
      action: `[E]` int32, legal.
      key: the random key of chance, and of new games' opponents.
      opponents: opponents of the player who learns, if there are any.
    """
    chex.assert_rank(action, 1)
    chex.assert_equal_shape([action, games.node])
    arrays = board.arrays
    edge = arrays.first_child[games.node] + arrays.slot_of_action[arrays.infoset[games.node], action]
    step = Step(
        games=follow(arrays, games, edge),
        reward=arrays.reward[edge],
        ended=jnp.zeros(len(action), bool),
        episodes=jnp.int32(0),
    )
    return _settle(board, step, key, opponents)


def _settle(board: Board, step: Step, key: jax.Array, opponents: FixedOpponents | None) -> Step:
    """Plays chance's moves, and begins new games in place of those that have ended, up to a decision."""
    if not board.has_chance:
        # The first node is a decision, so one look is enough.
        return _settle_once(board, step, key, opponents)

    class Carry(NamedTuple):
        step: Step
        key: jax.Array

    def is_waiting(carry: Carry) -> jax.Array:
        return jnp.any(_mover(board, carry.step.games) < 0)

    def once(carry: Carry) -> Carry:
        key, chance_key = jax.random.split(carry.key)
        return Carry(_settle_once(board, carry.step, chance_key, opponents), key)

    settled: Carry = jax.lax.while_loop(is_waiting, once, Carry(step, key))
    return settled.step


def _settle_once(board: Board, step: Step, key: jax.Array, opponents: FixedOpponents | None) -> Step:
    """Plays one move of chance, or begins a new game, in the games that are not at a decision."""
    games, reward = step.games, step.reward
    mover = _mover(board, games)
    onward = games
    chance_key, profile_key = jax.random.split(key)
    if board.has_chance:
        at_chance = mover == CHANCE
        edge = draw_chance(board.arrays, games.node, jax.random.uniform(chance_key, games.node.shape))
        onward = choose(at_chance, follow(board.arrays, games, edge), games)
        # Rewards of a new game before its first decision do not follow from any action.
        counts = at_chance & ~step.ended
        reward = reward + jnp.where(counts[:, None], board.arrays.reward[edge], 0.0)
    is_over = mover == TERMINAL
    dealt = begin(board.arrays, _draw_profiles(opponents, profile_key, games.profile))
    onward = choose(is_over, dealt, onward)
    return Step(onward, reward, step.ended | is_over, step.episodes + is_over.sum())


def _mover(board: Board, games: Games) -> jax.Array:
    return board.arrays.player[games.node]


def _draw_profiles(opponents: FixedOpponents | None, key: jax.Array, profile: jax.Array) -> jax.Array:
    """Returns `[E]` int32, the profiles of new games in place of those `[E]` of the games before."""
    if opponents is None:
        return profile
    return sample_profiles(opponents.profiles, key, len(profile))

"""Generalised advantage estimation over each player's own decisions (Schulman et al. 2016).

The moves of chance and of the other players are the environment of a player: between two of its own decisions
there is one step, whose reward is the sum of what the player receives until then.

Dimensions: `T` decisions in a row, of any player, in each of `E` games; `P` players.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class Estimates(NamedTuple):
    """Estimates at each decision, all `[T, E]` float32.

    Attributes:
      advantage: the advantage of the action taken.
      target: the return that the value learns: advantage and value.
      weight: 1; 0 at a player's last decision in a game that goes on beyond the rows. Its outcome is unknown,
        and its value is only what the decision before it is bootstrapped from.
    """

    advantage: jax.Array
    target: jax.Array
    weight: jax.Array


class _Later(NamedTuple):
    """Each player's future at a point of the backward pass, all `[E, P]`.

    Attributes:
      value: the value at the player's next own decision; 0 if the game ends before it.
      advantage: the advantage there, likewise.
      reward: the player's rewards until then.
      known: 1 if the game's end or the next decision is known, otherwise 0.
    """

    value: jax.Array
    advantage: jax.Array
    reward: jax.Array
    known: jax.Array


def own_advantages(
    player: jax.Array,
    reward: jax.Array,
    ended: jax.Array,
    value: jax.Array,
    discount: float,
    gae_lambda: float,
) -> Estimates:
    """Computes advantages of every player's decisions in one backward pass.

    Args:
      player: `[T, E]` int32, the player who decides.
      reward: `[T, E, P]` float32, every player's rewards after the decision, up to the next decision of any
        player or to the end of the game.
      ended: `[T, E]` bool, True if the game ended before the next decision; the next row belongs to a new
        game. There is no bootstrap over the end.
      value: `[T, E]` float32, the deciding player's value at the decision.
      discount: factor on later values, for each own decision.
      gae_lambda: decay of the estimate.
    """
    chex.assert_rank([player, reward], [2, 3])
    chex.assert_equal_shape([player, ended, value])
    chex.assert_equal_shape_prefix([player, reward], 2)
    num_games, num_players = reward.shape[1:]

    def backward(
        later: _Later, row: tuple[jax.Array, jax.Array, jax.Array, jax.Array]
    ) -> tuple[_Later, tuple[jax.Array, jax.Array]]:
        player, reward, ended, value = row
        # Nothing that comes after the end belongs to this game.
        goes_on = ~ended[:, None]
        later = _Later(
            value=goes_on * later.value,
            advantage=goes_on * later.advantage,
            reward=goes_on * later.reward + reward,
            known=jnp.where(goes_on, later.known, 1.0),
        )
        own = jax.nn.one_hot(player, num_players)
        then = _Later(*((own * leaf).sum(axis=1) for leaf in later))
        error = then.reward + discount * then.value - value
        advantage = then.known * (error + discount * gae_lambda * then.advantage)
        decides = own > 0
        later = _Later(
            value=jnp.where(decides, value[:, None], later.value),
            advantage=jnp.where(decides, advantage[:, None], later.advantage),
            reward=jnp.where(decides, 0.0, later.reward),
            known=jnp.where(decides, 1.0, later.known),
        )
        return later, (advantage, then.known)

    nothing = jnp.zeros((num_games, num_players))
    init = _Later(nothing, nothing, nothing, nothing)
    _, (advantage, weight) = jax.lax.scan(backward, init, (player, reward, ended, value), reverse=True)
    return Estimates(advantage, advantage + value, weight)

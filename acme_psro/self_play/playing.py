"""Games of one network against itself on the device, many side by side.

Every row of a rollout is a decision of a player in every game: the moves of chance, the end of a game and the
deal of the next one happen in between. Games that are unfinished at the end of a rollout go on in the next.

Dimensions: `E` games side by side, `T` decisions in each; others as in `acme_psro.self_play.board`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from acme_psro.games.device_moves import Games
from acme_psro.games.profiles import cumulative, sums_of_moves
from acme_psro.self_play.board import Board
from acme_psro.self_play.moves import FixedOpponents, move
from agents.networks import take_rows
from agents.self_play.learning import Rollout, SelfPlayCore
from agents.self_play.networks import Output


def play(
    board: Board,
    core: SelfPlayCore,
    params: Any,
    games: Games,
    key: jax.Array,
    num_decisions: int,
    opponents: FixedOpponents | None = None,
) -> tuple[Games, Rollout, jax.Array]:
    """Plays `num_decisions` decisions in every game, all players by the same network.

    Args:
      board: the game.
      core: the agent.
      params: the network's parameters.
      games: the games before.
      key: the random key.
      num_decisions: `T`.
      opponents: opponents that play in the network's place for all players but one; None: the network plays
        all sides.

    Returns:
      The games after, the decisions with rewards divided by the game's largest return, and `[]` int32, the
      number of games that ended.
    """
    num_games = len(games.node)
    act_key, step_key = jax.random.split(key)
    uniform = jax.random.uniform(act_key, (num_decisions, num_games))
    keys = jax.random.split(step_key, num_decisions)
    look, table = _make_look(board, core, params, num_games * num_decisions)

    def decide(games: Games, draws: tuple[jax.Array, jax.Array]) -> tuple[Games, tuple[Any, ...]]:
        uniform, key = draws
        row = board.arrays.infoset[games.node]
        seen = look(row)
        # Inverse transform sampling: the action is the number of cumulative probabilities up to `uniform`.
        action = jnp.sum(uniform[:, None] >= seen.sums, axis=1, dtype=jnp.int32)
        mover, weight = board.arrays.player[games.node], None
        if opponents is not None:
            theirs = _their_action(board, opponents, games, uniform)
            action = jnp.where(mover == opponents.player, action, theirs)
            weight = (mover == opponents.player) * opponents.decision_weights[games.profile]
        step = move(board, games, action, key, opponents)
        return step.games, (row, mover, action, weight, seen.output, step.reward, step.ended, step.episodes)

    games, rows = jax.lax.scan(decide, games, (uniform, keys))
    row, mover, action, weight, output, reward, ended, episodes = rows
    if table is not None:
        output = Output(table.log_probs[row], table.value[row])
    rollout = Rollout(
        observation=board.observation,
        row=row,
        player=mover,
        action=action,
        log_probs=output.log_probs,
        value=output.value,
        reward=reward / board.utility_scale,
        ended=ended,
        weight=weight,
    )
    return games, rollout, episodes.sum()


def _their_action(board: Board, opponents: FixedOpponents, games: Games, uniform: jax.Array) -> jax.Array:
    """Returns `[E]`, actions of the profiles; arbitrary if the learning player is to move."""
    sums = sums_of_moves(board.arrays, opponents.profiles, games.profile, games.node)
    slot = jnp.sum(uniform[:, None] >= sums, axis=1, dtype=jnp.int32)
    return board.arrays.action_of_slot[board.arrays.infoset[games.node], slot]


class _Seen(NamedTuple):
    """A policy at the games' decisions.

    Attributes:
      sums: `[E, A]` float32, cumulative probabilities of actions.
      output: `[E, ..]`, the network's output; None if all its outputs are in a table.
    """

    sums: jax.Array
    output: Output | None


def _make_look(
    board: Board, core: SelfPlayCore, params: Any, num_decisions: int
) -> tuple[Callable[[jax.Array], _Seen], Output | None]:
    """Returns a function rows `[E]` -> policy there, and the table of all outputs `[O, ..]` if there is one.

    The network is evaluated once for each observation if there are no more of them than decisions.
    """
    # Shapes are static, so only one of the two is compiled.
    if board.num_observations <= num_decisions:
        table = core.evaluate(params, board.observation)
        sums = cumulative(jnp.exp(table.log_probs))
        return lambda row: _Seen(sums[row], None), table

    def look(row: jax.Array) -> _Seen:
        output = core.evaluate(params, take_rows(board.observation, row))
        return _Seen(cumulative(jnp.exp(output.log_probs)), output)

    return look, None

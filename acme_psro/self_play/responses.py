"""Best responses by the self-play agent: one player learns on policy against fixed opponents.

Unlike the other agents' responses, these stay stochastic: what is learned is a policy at the agent's
temperature.

Dimensions: as in `acme_psro.self_play.playing`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from acme_psro.games import rollout as games_rollout
from acme_psro.games.rollout import Games
from acme_psro.oracles.device.training import OpponentProfiles, Train, Trained
from acme_psro.self_play.board import Board
from acme_psro.self_play.moves import Opponents, start
from acme_psro.self_play.playing import play
from acme_psro.self_play.training import RolloutConfig, check_fits, make_board_core, network_policy
from agents.core import Metrics
from agents.self_play import SelfPlayConfig


class _Progress(NamedTuple):
    """Progress of a training: the agent's state, the games, and the number `[]` of those that ended."""

    state: Any
    games: Games
    episodes: jax.Array


def make_train(
    board: Board, agent: SelfPlayConfig, rollout: RolloutConfig, updates: int, snapshots: int
) -> Train:
    """Returns train(key, player `[]` int32, opponents) -> Trained, as the device oracle's trainings.

    The function is pure, to be vmapped over tasks and jitted. The agent is one policy, whatever members the
    opponents name.

    Args:
      board: the game.
      agent: the agent's configuration.
      rollout: the size of a rollout, in which decisions of all players are counted.
      updates: number of updates, each on a rollout of its own; rounded up to whole snapshots.
      snapshots: number of policies that are kept, evenly spaced through training, the last at its end.

    Raises:
      ValueError: a rollout cannot be split into the agent's minibatches.
    """
    check_fits(agent, rollout)
    core = make_board_core(board, agent)
    per_snapshot = -(-updates // snapshots)

    def train(key: jax.Array, player: jax.Array, opponents: OpponentProfiles) -> Trained:
        init_key, start_key, train_key = jax.random.split(key, 3)
        profiles = games_rollout.make_profiles(board.arrays, opponents.tables, opponents.weights)
        against = Opponents(player, profiles, opponents.decision_weights)

        def update(progress: _Progress, key: jax.Array) -> tuple[_Progress, Metrics]:
            params = progress.state.params
            games, played, episodes = play(
                board, core, params, progress.games, key, rollout.decisions, against
            )
            state, metrics = core.update(progress.state, played)
            return _Progress(state, games, progress.episodes + episodes), metrics

        def train_to_snapshot(
            progress: _Progress, key: jax.Array
        ) -> tuple[_Progress, tuple[jax.Array, Metrics]]:
            progress, metrics = jax.lax.scan(update, progress, jax.random.split(key, per_snapshot))
            probs = network_policy(board, core, progress.state.params)
            # The agent is one member.
            return progress, (probs[None], jax.tree.map(jnp.mean, metrics))

        games = start(board, start_key, rollout.num_games, against)
        begun = _Progress(core.init(init_key), games, jnp.int32(0))
        final, (probs, metrics) = jax.lax.scan(
            train_to_snapshot, begun, jax.random.split(train_key, snapshots)
        )
        last = jax.tree.map(lambda values: values[-1], metrics)
        return Trained(final.state, probs, final.episodes, last)

    return train

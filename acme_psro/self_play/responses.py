"""Best responses by the self-play agent: one player learns on policy against fixed opponents.

Unlike the other agents' responses, these stay stochastic: what is learned is a policy at the agent's
temperature.

Dimensions: as in `acme_psro.self_play.playing`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from acme_psro.games.device_moves import Games
from acme_psro.games.graph import GameGraph
from acme_psro.games.profiles import make_profiles
from acme_psro.games.tree import GameTree
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.on_policy import RolloutAgent
from acme_psro.oracles.device.training import OpponentProfiles, Train, Trained
from acme_psro.self_play.beside import make_train_beside
from acme_psro.self_play.board import Board, make_board
from acme_psro.self_play.moves import FixedOpponents, start
from acme_psro.self_play.playing import play
from acme_psro.self_play.training import RolloutConfig, check_fits, make_board_core, network_policy
from agents.core import Metrics
from agents.self_play import SelfPlayConfig


class Budget(NamedTuple):
    """Budget of a response.

    Attributes:
      rollout: the size of a rollout, in which decisions of all players are counted.
      updates: number of updates, each on a rollout of its own.
      snapshots: number of policies that are kept, evenly spaced through training, the last at its end.
    """

    rollout: RolloutConfig
    updates: int
    snapshots: int


def plan_budget(agent: SelfPlayConfig, config: DeviceConfig) -> Budget:
    """Returns the budget that a configuration of the device oracle is to this agent.

    Its `num_envs` games are played side by side, for as many decisions as give the agent's minibatches
    `batch_size` decisions each. `gradient_steps` are rounded up to whole updates and snapshots.

    Raises:
      ValueError: games are to be kept, or the games do not divide the decisions of a rollout.
    """
    if config.games_per_response:
        raise ValueError(
            "agents that learn on policy use their newest games alone: set device.games_per_response to 0, "
            f"not {config.games_per_response}."
        )
    steps = agent.minibatches * config.batch_size
    if steps % config.num_envs:
        raise ValueError(
            f"device.num_envs must divide the {steps:,} decisions of a rollout (device.batch_size times "
            f"agent_settings.minibatches), not be {config.num_envs}."
        )
    updates = -(-config.gradient_steps // (agent.epochs * agent.minibatches))
    snapshots = min(config.snapshots, updates)
    rollout = RolloutConfig(config.num_envs, steps // config.num_envs)
    return Budget(rollout, -(-updates // snapshots) * snapshots, snapshots)


def make_rollout_agent(agent: SelfPlayConfig) -> RolloutAgent:
    """Returns the agent as the device oracle takes it.

    Args:
      agent: the agent's configuration. Its horizon is replaced by the end of the budget, so that schedules
        end with a response.
    """

    def make(compiled: GameTree | GameGraph, config: DeviceConfig) -> Train:
        budget = plan_budget(agent, config)
        planned = dataclasses.replace(agent, horizon=budget.updates * budget.rollout.steps)
        if config.self_play:
            return make_train_beside(make_board(compiled), planned, *budget, config.self_play)
        return make_train(make_board(compiled), planned, *budget)

    return RolloutAgent(make)


class _Progress(NamedTuple):
    """Progress of a training: the agent's state, the games, and the work `[]` so far."""

    state: Any
    games: Games
    episodes: jax.Array
    decisions: jax.Array


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
    gradient_steps = snapshots * per_snapshot * agent.epochs * agent.minibatches

    def train(key: jax.Array, player: jax.Array, opponents: OpponentProfiles) -> Trained:
        init_key, start_key, train_key = jax.random.split(key, 3)
        profiles = make_profiles(board.arrays, opponents.tables, opponents.weights, opponents.table)
        against = FixedOpponents(player, profiles, opponents.decision_weights)

        def update(progress: _Progress, key: jax.Array) -> tuple[_Progress, Metrics]:
            params = progress.state.params
            games, played, episodes = play(
                board, core, params, progress.games, key, rollout.decisions, against
            )
            state, metrics = core.update(progress.state, played)
            own = jnp.sum(played.player == player, dtype=jnp.int32)
            return _Progress(state, games, progress.episodes + episodes, progress.decisions + own), metrics

        def train_to_snapshot(
            progress: _Progress, key: jax.Array
        ) -> tuple[_Progress, tuple[jax.Array, Metrics]]:
            progress, metrics = jax.lax.scan(update, progress, jax.random.split(key, per_snapshot))
            probs = network_policy(board, core, progress.state.params)
            # The agent is one member.
            return progress, (probs[None], jax.tree.map(jnp.mean, metrics))

        games = start(board, start_key, rollout.num_games, against)
        begun = _Progress(core.init(init_key), games, jnp.int32(0), jnp.int32(0))
        final, (probs, metrics) = jax.lax.scan(
            train_to_snapshot, begun, jax.random.split(train_key, snapshots)
        )
        return Trained(
            state=final.state,
            probs=probs,
            episodes=final.episodes,
            decisions=final.decisions,
            gradient_steps=jnp.int32(gradient_steps),
            metrics=jax.tree.map(lambda values: values[-1], metrics),
        )

    return train

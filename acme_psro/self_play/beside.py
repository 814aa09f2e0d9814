"""A best response and an opponent's policy that learn from each other, for SP-PSRO (McAleer et al. 2022b).

PSRO answers each mixture by a response that the next mixture makes useless. In self-play PSRO
(arXiv:2207.06541) a second policy, of the opponent, learns beside the response to exploit it as it changes.
The response meets this policy in a share of its games and the mixture in all others. In the end the response
joins its player's population and the average of the second policy that of the opponent.

Here both learn on policy by the self-play agent, in turn: each plays a few rollouts against what the other
was at the beginning of a round.

Dimensions: as in `acme_psro.self_play.playing`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from acme_psro.games.device_moves import Games
from acme_psro.games.profiles import make_profiles
from acme_psro.oracles.device.training import OpponentProfiles, Train, Trained
from acme_psro.self_play.board import Board
from acme_psro.self_play.moves import FixedOpponents, start
from acme_psro.self_play.playing import play
from acme_psro.self_play.training import RolloutConfig, check_fits, make_board_core, network_policy
from agents.core import Metrics
from agents.self_play import SelfPlayConfig, SelfPlayCore

# Updates of each policy in a round, in which the other one's policy is known as a table. Tables of all
# observations cost as much as several updates.
_UPDATES_PER_ROUND = 4


class _Side(NamedTuple):
    """One of the two policies: the agent's state, and its games."""

    state: Any
    games: Games


# (a policy, key, what it plays against) -> the policy, its episodes `[]`, decisions `[]` and metrics.
_Learn = Callable[[_Side, jax.Array, FixedOpponents], tuple[_Side, tuple[jax.Array, jax.Array, Metrics]]]


class _Progress(NamedTuple):
    """Progress of a training: both policies, and the work `[]` so far."""

    response: _Side
    beside: _Side
    episodes: jax.Array
    decisions: jax.Array


def _make_learning(board: Board, core: SelfPlayCore, rollout: RolloutConfig) -> _Learn:
    """Returns learn(side, key, against), which trains a policy for a round against fixed opponents."""

    def learn(
        side: _Side, key: jax.Array, against: FixedOpponents
    ) -> tuple[_Side, tuple[jax.Array, jax.Array, Metrics]]:
        """Returns a policy after a round, with its episodes, its decisions and the means of its metrics."""

        def update(side: _Side, key: jax.Array) -> tuple[_Side, tuple[jax.Array, jax.Array, Metrics]]:
            params = side.state.params
            games, played, episodes = play(board, core, params, side.games, key, rollout.decisions, against)
            state, metrics = core.update(side.state, played)
            own = jnp.sum(played.player == against.player, dtype=jnp.int32)
            return _Side(state, games), (episodes, own, metrics)

        side, (episodes, own, metrics) = jax.lax.scan(update, side, jax.random.split(key, _UPDATES_PER_ROUND))
        return side, (episodes.sum(), own.sum(), jax.tree.map(jnp.mean, metrics))

    return learn


def make_train_beside(
    board: Board, agent: SelfPlayConfig, rollout: RolloutConfig, updates: int, snapshots: int, share: float
) -> Train:
    """Returns train(key, player `[]` int32, opponents) -> Trained, of two members.

    Member 0 is the player's response. Member 1 is the other player's policy beside the mixture. The function
    is pure, to be vmapped over tasks and jitted.

    Args:
      board: the game, of two players.
      agent: the agent's configuration, of both policies.
      rollout: the size of a rollout, in which decisions of all players are counted.
      updates: updates of each policy; rounded up to whole rounds and snapshots.
      snapshots: number of policies that are kept, evenly spaced through training, the last at its end.
      share: share of the response's games that are played against the policy beside the mixture.

    Raises:
      ValueError: a rollout cannot be split into the agent's minibatches.
    """
    check_fits(agent, rollout)
    core = make_board_core(board, agent)
    learn = _make_learning(board, core, rollout)
    rounds = -(-updates // (snapshots * _UPDATES_PER_ROUND))
    steps = snapshots * rounds * _UPDATES_PER_ROUND * agent.epochs * agent.minibatches

    def table_of(side: _Side) -> jax.Array:
        return network_policy(board, core, side.state.params)

    def train(key: jax.Array, player: jax.Array, opponents: OpponentProfiles) -> Trained:
        one = jnp.ones(1)

        def against_all(beside: jax.Array) -> FixedOpponents:
            tables = jnp.concatenate([opponents.tables, beside[None]])
            weights = jnp.concatenate([(1 - share) * opponents.weights, share * one])
            counted = jnp.concatenate([opponents.decision_weights, one])
            return FixedOpponents(player, make_profiles(board.arrays, tables, weights), counted)

        def against_response(response: jax.Array) -> FixedOpponents:
            return FixedOpponents(1 - player, make_profiles(board.arrays, response[None], one), one)

        def train_round(progress: _Progress, key: jax.Array) -> tuple[_Progress, Metrics]:
            keys = jax.random.split(key)
            tables = table_of(progress.response), table_of(progress.beside)
            response, (episodes, own, metrics) = learn(progress.response, keys[0], against_all(tables[1]))
            beside, (others, theirs, _) = learn(progress.beside, keys[1], against_response(tables[0]))
            episodes, decisions = progress.episodes + episodes + others, progress.decisions + own + theirs
            return _Progress(response, beside, episodes, decisions), metrics

        def train_to_snapshot(
            progress: _Progress, key: jax.Array
        ) -> tuple[_Progress, tuple[jax.Array, Metrics]]:
            progress, metrics = jax.lax.scan(train_round, progress, jax.random.split(key, rounds))
            probs = jnp.stack([table_of(progress.response), table_of(progress.beside)])
            return progress, (probs, jax.tree.map(jnp.mean, metrics))

        keys = jax.random.split(key, 5)
        states = core.init(keys[0]), core.init(keys[1])
        tables = [network_policy(board, core, state.params) for state in states]
        begun = _Progress(
            _Side(states[0], start(board, keys[2], rollout.num_games, against_all(tables[1]))),
            _Side(states[1], start(board, keys[3], rollout.num_games, against_response(tables[0]))),
            jnp.int32(0),
            jnp.int32(0),
        )
        final, (probs, metrics) = jax.lax.scan(train_to_snapshot, begun, jax.random.split(keys[4], snapshots))
        return Trained(
            state=final.response.state,
            probs=probs,
            episodes=final.episodes,
            decisions=final.decisions,
            gradient_steps=jnp.int32(2 * steps),
            metrics=jax.tree.map(lambda values: values[-1], metrics),
        )

    return train

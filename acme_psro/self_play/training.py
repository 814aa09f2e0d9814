"""Training by self-play on the device: rollouts and updates as one compiled program.

The number of updates is data, so that the program is traced once.

Dimensions: as in `acme_psro.self_play.playing`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from acme_psro.games.device_moves import Games
from acme_psro.self_play.board import Board
from acme_psro.self_play.moves import start
from acme_psro.self_play.playing import play
from agents import random_keys
from agents.core import Metrics, Observation
from agents.self_play import SelfPlayConfig, SelfPlayCore, make_core, make_networks
from agents.self_play.state import SelfPlayState

# Observations that a network sees at once when the whole policy is computed; more would need much memory.
_MOST_ROWS = 65_536


@dataclasses.dataclass(frozen=True)
class RolloutConfig:
    """Size of a rollout.

    Attributes:
      num_games: games played side by side, `E`.
      decisions: decisions in each of them between two updates, `T`.
    """

    num_games: int = 128
    decisions: int = 32

    def __post_init__(self) -> None:
        for name in ("num_games", "decisions"):
            if getattr(self, name) < 1:
                raise ValueError(f"a rollout's {name} must be at least 1, not {getattr(self, name)}.")

    @property
    def steps(self) -> int:
        """Decisions in a rollout, of all games."""
        return self.num_games * self.decisions


def check_fits(agent: SelfPlayConfig, rollout: RolloutConfig) -> None:
    """Checks that a rollout can be split into minibatches.

    Raises:
      ValueError: it cannot.
    """
    if rollout.steps % agent.minibatches:
        raise ValueError(
            f"a rollout of {rollout.num_games} games and {rollout.decisions} decisions cannot be split into "
            f"{agent.minibatches} minibatches: choose a number that divides {rollout.steps}."
        )


class TrainingState(NamedTuple):
    """Everything from which training goes on.

    Attributes:
      agent: the agent's state.
      games: the games in progress.
      key: `[2]` uint32, raw random key.
    """

    agent: SelfPlayState
    games: Games
    key: jax.Array


class Totals(NamedTuple):
    """Sums over some updates.

    Attributes:
      episodes: `[]` int32, games that ended.
      metrics: `[]` float32 each, the agent's metrics by name, summed over updates.
    """

    episodes: jax.Array
    metrics: Metrics


class Training(NamedTuple):
    """Functions of a training, all jitted.

    Attributes:
      init: random key -> TrainingState.
      train: (TrainingState, `[]` int32 number of updates) -> (TrainingState, Totals).
      policy: TrainingState -> `[O, A]` float32, the network's probabilities, exactly 0 on illegal actions.
    """

    init: Callable[[jax.Array], TrainingState]
    train: Callable[[TrainingState, jax.Array], tuple[TrainingState, Totals]]
    policy: Callable[[TrainingState], jax.Array]


def make_training(board: Board, agent: SelfPlayConfig, rollout: RolloutConfig) -> Training:
    """Returns the functions of a training.

    Args:
      board: the game.
      agent: the agent's configuration.
      rollout: the size of a rollout.

    Raises:
      ValueError: a rollout cannot be split into the agent's minibatches.
    """
    check_fits(agent, rollout)
    core = make_board_core(board, agent)
    return Training(
        init=jax.jit(functools.partial(_init, board, core, rollout)),
        train=jax.jit(functools.partial(_train, board, core, rollout)),
        policy=jax.jit(lambda state: network_policy(board, core, state.agent.params)),
    )


def make_board_core(board: Board, agent: SelfPlayConfig) -> SelfPlayCore:
    """Returns the agent, with a network for the game's observations."""
    example = jax.tree.map(lambda leaf: leaf[:1], board.observation)
    return make_core(make_networks(example, board.num_actions, agent), agent)


def _init(board: Board, core: SelfPlayCore, rollout: RolloutConfig, key: jax.Array) -> TrainingState:
    agent_key, start_key, next_key = jax.random.split(key, 3)
    games = start(board, start_key, rollout.num_games)
    return TrainingState(core.init(agent_key), games, random_keys.to_raw(next_key))


def _train(
    board: Board, core: SelfPlayCore, rollout: RolloutConfig, state: TrainingState, num_updates: jax.Array
) -> tuple[TrainingState, Totals]:
    """Runs updates, each on a rollout of its own."""

    def update(state: TrainingState) -> tuple[TrainingState, Totals]:
        next_key, (key,) = random_keys.split(state.key, 1)
        games, played, episodes = play(board, core, state.agent.params, state.games, key, rollout.decisions)
        agent, metrics = core.update(state.agent, played)
        return TrainingState(agent, games, next_key), Totals(episodes, metrics)

    def body(_: jax.Array, carry: tuple[TrainingState, Totals]) -> tuple[TrainingState, Totals]:
        state, before = carry
        state, now = update(state)
        return state, jax.tree.map(jnp.add, before, now)

    shapes = jax.eval_shape(update, state)[1]
    nothing: Totals = jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), shapes)
    return jax.lax.fori_loop(0, num_updates, body, (state, nothing))


def network_policy(board: Board, core: SelfPlayCore, params: Any) -> jax.Array:
    """Returns `[O, A]`, a network's policy at all observations, exactly 0 on illegal actions."""

    def probs(row: Observation) -> jax.Array:
        one = jax.tree.map(lambda leaf: leaf[None], row)
        return jnp.exp(core.evaluate(params, one).log_probs[0])

    batch_size = min(_MOST_ROWS, board.num_observations)
    found = jax.lax.map(probs, board.observation, batch_size=batch_size)
    return jnp.where(board.observation.legal_actions, found, 0.0)

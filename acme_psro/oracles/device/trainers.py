"""Trainers: they answer questions for responses, one a lane, side by side on the device."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.evaluation.coordinated import coordinated_play
from acme_psro.evaluation.deviations import Deviation
from acme_psro.games import traverse
from acme_psro.games.device_arrays import GameArrays
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.profiles import marginals_of
from acme_psro.oracles.asking import Results
from acme_psro.oracles.base import BestResponseTask, Counts
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.lanes import Lane
from acme_psro.oracles.device.population_start import Start, begin, leave, stack, unstack
from acme_psro.oracles.device.training import OpponentProfiles, Train, Trained, make_train
from acme_psro.oracles.exact import deviation_of
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.policies.tabular import Policy, average_plan, meta_strategy_plan
from agents.core import AgentCore, Left


class Question(NamedTuple):
    """A response that is sought.

    Attributes:
      player: the player who responds.
      deviation: its alternatives to its part of the meta-strategy, which measure responses.
      plan: `[S]`, the realisation plan of all players' marginals of the meta-strategy.
      average: `[S]`, that of their average policies.
      joint_play: `[N, A]`, how the others move at every node if they draw their policies together and are
        more than one, see `acme_psro.evaluation.coordinated`; None if the plan tells it.
      start: what the response begins with, if it begins in the population; None if its network is fresh.
      hull: `[H, I, A]`, policies from which the response is to differ; None if it need not.
    """

    player: int
    deviation: Deviation
    plan: np.ndarray
    average: np.ndarray
    joint_play: np.ndarray | None = None
    start: Start | None = None
    hull: np.ndarray | None = None


def make_question(
    tree: GameTree,
    task: BestResponseTask[Policy, np.ndarray],
    start: Start | None = None,
    hull: np.ndarray | None = None,
) -> Question:
    """Returns the question of a task.

    Args:
      tree: the compiled game.
      task: the best response to find.
      start: what the response begins with, see `Question`.
      hull: policies from which it is to differ, see `Question`.
    """
    strategy = task.meta_strategy
    joint_play = None
    if isinstance(strategy, JointStrategy):
        # Against a single other player its marginal says everything.
        if tree.num_players > 2:
            joint_play = coordinated_play(tree, task.populations, strategy, task.player)
        strategy = marginals_of(strategy, [len(population) for population in task.populations])
    return Question(
        task.player,
        deviation_of(tree, task),
        meta_strategy_plan(tree, task.populations, strategy),
        average_plan(tree, task.populations),
        joint_play,
        start,
        hull,
    )


class Attempt(NamedTuple):
    """One training of a response.

    Attributes:
      probs: `[snapshots, I, A]`, the policy in the course of training.
      metrics: the learner's own figures at the end.
      counts: the work done.
      left: the parameters that it leaves behind; None if the question has no start.
    """

    probs: np.ndarray
    metrics: Mapping[str, float]
    counts: Counts
    left: Left | None = None


class Trainer(Protocol):
    """Trains one response a lane; the number of lanes is always the same, or programs are compiled again."""

    def train_lane(self, lane: Lane) -> Any:
        """Returns one lane's results, nested arrays. It is pure, to be vmapped and jitted."""
        ...

    def __call__(
        self, key: jax.Array, lanes: Sequence[Question], doublings: int
    ) -> Generator[Lane, Results, list[Attempt]]:
        """Returns a generator that yields lanes, is sent their results, and returns a training for each.

        Args:
          key: the random key.
          lanes: one question a lane; the same one may come several times, for as many seeds.
          doublings: how often the number of games is to be doubled, if it can be.
        """
        ...


def make_lanes(key: jax.Array, players: Sequence[int], material: object) -> Lane:
    """Returns lanes, each with a key of its own.

    Args:
      key: the random key, which is split.
      players: `[L]`, the player who learns in each lane.
      material: nested arrays `[L, ..]`.
    """
    keys = np.asarray(jax.random.key_data(jax.random.split(key, len(players))))
    return Lane(keys, np.array(players, np.int32), material)


def make_training_against(
    train: Train, config: DeviceConfig
) -> Callable[[jax.Array, jax.Array, jax.Array, jax.Array | None], Trained]:
    """Returns training for a `BestResponseTask`, with an agent that has one member.

    Returns:
      (key, player, tables `[2, R, A]` of the others' meta-strategy and of their average policy, policies from
      which to differ or None) -> Trained.
    """

    def train_against(
        key: jax.Array, player: jax.Array, tables: jax.Array, hull: jax.Array | None = None
    ) -> Trained:
        opponents = OpponentProfiles(
            tables=tables,
            weights=jnp.array([1.0 - config.trembles, config.trembles]),
            members=jnp.zeros(2, jnp.int32),
            contexts=jnp.zeros((1, 0)),
            decision_weights=jnp.array([1.0, config.tremble_weight]),
            hull=hull,
        )
        return train(key, player, opponents)

    return train_against


class PlayingTrainer:
    """A trainer whose agents play while they learn, and whose games are then forgotten.

    Args:
      tree: the compiled game.
      game: the same as arrays on the device.
      core: the agent.
      config: the budget of a response.
    """

    def __init__(self, tree: GameTree, game: GameArrays, core: AgentCore, config: DeviceConfig) -> None:
        self._tree, self._game, self._core, self._config = tree, game, core, config

    def train_lane(self, lane: Lane) -> Trained:
        """Returns a training, with what the agent leaves behind in place of its state, which is large."""
        tables, start, hull = lane.material
        train = make_train(self._tree, self._game, begin(self._core, start), self._config)
        key = jax.random.wrap_key_data(lane.key)
        trained = make_training_against(train, self._config)(key, lane.player, tables, hull)
        return trained._replace(state=leave(self._core, start, trained.state))

    def __call__(
        self, key: jax.Array, lanes: Sequence[Question], doublings: int
    ) -> Generator[Lane, Results, list[Attempt]]:
        """Returns a generator of the lanes' trainings, see `Trainer`."""
        # Games side by side are a shape of the compiled program.
        del doublings
        return train_against(self._tree, key, lanes)


def train_against(
    tree: GameTree, key: jax.Array, lanes: Sequence[Question]
) -> Generator[Lane, Results, list[Attempt]]:
    """Returns a generator that yields lanes of opponents and starts, and returns a training for each."""
    tables = np.stack([_opponents(tree, lane) for lane in lanes]).astype(np.float32)
    hulls = [lane.hull for lane in lanes if lane.hull is not None]
    hull = np.stack(hulls).astype(np.float32) if hulls else None
    trained: Trained = yield make_lanes(
        key, [lane.player for lane in lanes], (tables, stack([lane.start for lane in lanes]), hull)
    )
    left = unstack(trained.state, len(lanes))
    return [
        Attempt(
            # The only member's policy.
            np.asarray(trained.probs)[lane, :, 0],
            {name: float(values[lane]) for name, values in trained.metrics.items()},
            count_work(trained, lane),
            left[lane],
        )
        for lane in range(len(lanes))
    ]


def count_work(trained: Trained, lane: int) -> Counts:
    """Returns the work of one lane of trainings."""
    return Counts(
        int(trained.episodes[lane]), int(trained.decisions[lane]), int(trained.gradient_steps[lane])
    )


def _opponents(tree: GameTree, question: Question) -> np.ndarray:
    """Returns tables of the meta-strategy and of the average policy, see `OpponentProfiles.tables`."""
    average = traverse.behaviour(tree, question.average)
    if question.joint_play is None:
        return np.stack([traverse.behaviour(tree, question.plan), average])
    spread = np.zeros_like(question.joint_play)
    decided = tree.player >= 0
    spread[decided] = average[tree.infoset[decided]]
    return np.stack([question.joint_play, spread])

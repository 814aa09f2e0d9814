"""Trainers: they answer questions for responses, one a lane, side by side on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.games import rollout, traverse
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import Counts
from acme_psro.oracles.device.training import DeviceConfig, OpponentProfiles, Train, Trained, make_train
from agents.core import AgentCore


class Question(NamedTuple):
    """A response that is sought.

    Attributes:
      player: the player who responds.
      plan: `[S]`, the realisation plan of all players' meta-strategies.
      average: `[S]`, that of their average policies.
    """

    player: int
    plan: np.ndarray
    average: np.ndarray


class Attempt(NamedTuple):
    """One training of a response.

    Attributes:
      probs: `[snapshots, I, A]`, the policy in the course of training.
      metrics: the learner's own figures at the end.
      counts: the work done.
    """

    probs: np.ndarray
    metrics: Mapping[str, float]
    counts: Counts


class Trainer(Protocol):
    """Trains one response a lane; the number of lanes is always the same, or programs are compiled again."""

    def __call__(self, key: jax.Array, lanes: Sequence[Question], doublings: int) -> list[Attempt]:
        """Returns a training for every lane.

        Args:
          key: the random key.
          lanes: one question a lane; the same one may come several times, for as many seeds.
          doublings: how often the number of games is to be doubled, if it can be.
        """


def make_training_against(
    train: Train, config: DeviceConfig
) -> Callable[[jax.Array, jax.Array, jax.Array], Trained]:
    """Returns training for a `BestResponseTask`, with an agent that has one member.

    Returns:
      (key, player, tables `[2, I, A]` of the others' meta-strategy and of their average policy) -> Trained.
    """

    def train_against(key: jax.Array, player: jax.Array, tables: jax.Array) -> Trained:
        opponents = OpponentProfiles(
            tables=tables,
            weights=jnp.array([1.0 - config.trembles, config.trembles]),
            members=jnp.zeros(2, jnp.int32),
            contexts=jnp.zeros((1, 0)),
            decision_weights=jnp.array([1.0, config.tremble_weight]),
        )
        return train(key, player, opponents)

    return train_against


def make_playing_trainer(
    tree: GameTree, game: rollout.GameArrays, core: AgentCore, config: DeviceConfig
) -> Trainer:
    """Returns a trainer whose agents play while they learn, and whose games are then forgotten."""
    train = jax.jit(jax.vmap(make_training_against(make_train(tree, game, core, config), config)))
    rounds = config.rounds_before_learning + config.updates // config.updates_per_round

    def answer(key: jax.Array, lanes: Sequence[Question], doublings: int) -> list[Attempt]:
        # Games side by side are a shape of the compiled program.
        del doublings
        tables = np.stack([_opponents(tree, lane) for lane in lanes]).astype(np.float32)
        players = np.array([lane.player for lane in lanes], np.int32)
        trained = train(jax.random.split(key, len(lanes)), jnp.asarray(players), jnp.asarray(tables))
        # The agents' states are large and not needed any more, so they are not copied from the device.
        trained = jax.tree.map(np.asarray, trained._replace(state=None))
        return [
            Attempt(
                # The only member's policy.
                trained.probs[lane, :, 0],
                {name: float(values[lane]) for name, values in trained.metrics.items()},
                Counts(int(trained.episodes[lane]), rounds * config.num_envs, config.updates),
            )
            for lane in range(len(lanes))
        ]

    return answer


def _opponents(tree: GameTree, question: Question) -> np.ndarray:
    """Returns `[2, I, A]`: tables of the meta-strategy and of the average policy."""
    return np.stack([traverse.behaviour(tree, plan) for plan in (question.plan, question.average)])

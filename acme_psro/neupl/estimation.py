"""Payoffs learned on the device, from games between members that are played for nothing else.

A share of all games is played between pairs of members that are drawn evenly (Liu et al. 2022,
arXiv:2202.07415, algorithm 4). The policies do not learn from them; the payoff estimator does.

Dimensions: `P` = 2 players, `N` members, `B` games of a round, `C` games of a store.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from acme_psro.games.device_arrays import GameArrays
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.payoff_estimator import Estimator, EstimatorState, Outcomes, make_estimator
from acme_psro.neupl.playing import play_pairs
from acme_psro.oracles.device.ring import Ring, add, make_ring


class Estimation(NamedTuple):
    """Everything that is known of payoffs.

    Attributes:
      learner: the estimator's state.
      games: the outcomes `[C]` of the newest games.
    """

    learner: EstimatorState
    games: Ring


class Estimating(NamedTuple):
    """Parts of an estimation that do not change.

    Attributes:
      estimator: the estimator's functions; its `fit` takes the gradient steps of a round.
      num_members: `N`.
      num_games: `B`.
      stored_games: `C`, a multiple of `B`.
      utility_scale: the game's largest return, by which outcomes are divided.
    """

    estimator: Estimator
    num_members: int
    num_games: int
    stored_games: int
    utility_scale: float


def make_estimating(config: NeuPLConfig, utility_scale: float, is_symmetric: bool) -> Estimating:
    """Returns the parts of an estimation.

    Args:
      config: the population and its shares of games.
      utility_scale: the game's largest return.
      is_symmetric: True if both players are in the same position.
    """
    estimator = make_estimator(
        config.population_size, updates=config.estimator_updates, is_symmetric=is_symmetric
    )
    # Members begin a game in every slot of a round, as each player.
    learned_from = 2 * config.num_envs
    num_games = max(1, round(learned_from * config.evaluation / (1 - config.evaluation)))
    stored = max(1, config.stored_outcomes // num_games) * num_games
    return Estimating(estimator, config.population_size, num_games, stored, utility_scale)


def init(parts: Estimating, key: jax.Array) -> Estimation:
    """Returns the estimation before any game, by which all payoffs are 0."""
    row = np.zeros(parts.num_members, np.float32)
    example = Outcomes(row, row, np.zeros((), np.float32))
    store = make_ring(example, parts.stored_games, parts.num_games)
    return Estimation(parts.estimator.init(key), store)


def learn(
    parts: Estimating,
    game: GameArrays,
    known: Estimation,
    opposing: jax.Array,
    graph: jax.Array,
    key: jax.Array,
) -> Estimation:
    """Plays the games of a round, and returns the estimation after the gradient steps of a round.

    Args:
      parts: static.
      game: the compiled game.
      known: the estimation before it.
      opposing: `[N, I, A]`, the members' policies, see `acme_psro.neupl.playing.Tables`.
      graph: `[P, N, N]`, the members' rows.
      key: the random key.
    """
    play_key, fit_key = jax.random.split(key)
    pairs, outcome = play_pairs(game, opposing, play_key, parts.num_games)
    # Records of outcomes are of NumPy's arrays elsewhere.
    played: Any = (graph[0][pairs[:, 0]], graph[1][pairs[:, 1]], outcome / parts.utility_scale)
    games = add(known.games, Outcomes(*played))
    learner, _ = parts.estimator.fit(fit_key, known.learner, games.items, games.held)
    return Estimation(learner, games)


def payoffs_of(parts: Estimating, known: Estimation, graph: jax.Array) -> jax.Array:
    """Returns `[P, N, N]`, estimated payoffs of members with the rows of a graph, in utility units."""
    return parts.estimator.predict(known.learner, graph) * parts.utility_scale

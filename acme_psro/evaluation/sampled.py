"""Evaluation of mixtures by simulation: gains of responses and values, each with its standard error.

Dimensions: `P` players, `n_p` policies of player p, `m` profiles.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from acme_psro.meta_game import simulation
from acme_psro.meta_game.estimates import SampledPayoffs
from acme_psro.meta_game.profiles import cell_probabilities
from acme_psro.meta_game.sampled import SampledMetaGame
from acme_psro.meta_game.simulation import SampledReturns
from acme_psro.policies.meta_strategy import JointStrategy, PopulationStrategy, spread_draws
from acme_psro.policies.stored import PolicyFile


class Estimate(NamedTuple):
    """An estimate by simulation.

    Attributes:
      value: the estimate.
      standard_error: of the estimate.
      own_error: of a gain, the part of the standard error that comes from the mixture's own return.
    """

    value: float
    standard_error: float
    own_error: float = 0.0


def estimate_gain(
    game: SampledMetaGame,
    response: Path,
    player: int,
    populations: Sequence[tuple[PolicyFile, ...]],
    meta_strategy: PopulationStrategy,
    payoffs: SampledPayoffs,
    seed: int,
) -> Estimate:
    """Estimates a response's gain: its return against the others' mixture, less the own mixture's return.

    The first term is simulated now, in `gain_episodes` games in which each of the others' policies appears in
    proportion to its weight; the second follows from the payoffs. The standard error treats the two as
    independent and the games as drawn one by one, which overstates it slightly.

    Args:
      game: simulates.
      response: the file of a stored policy.
      player: who responds.
      populations: of every player.
      meta_strategy: by which the others draw their policies, together if it is a joint distribution.
      payoffs: of the populations' profiles.
      seed: not negative.
    """
    paths = [[policy.path for policy in population] for population in populations]
    # The response stands alone in its player's place, so that its index in every profile is 0.
    paths[player] = [response]
    rng = np.random.default_rng(seed)
    profiles, episodes = draw_profiles(meta_strategy, player, game.config.gain_episodes, rng)
    played = game.simulate(paths, profiles, episodes, seed)
    # Merging adds the differences between profiles to the variance, as if opponents were drawn one by one.
    rows = [SampledReturns(*(field[row : row + 1] for field in played)) for row in range(len(profiles))]
    whole = functools.reduce(simulation.merge, rows)
    own = mixture_values(payoffs, meta_strategy)[player]
    return Estimate(
        float(whole.mean[0, player]) - own.value,
        float(np.hypot(whole.standard_error[0, player], own.standard_error)),
        own.standard_error,
    )


def draw_profiles(
    meta_strategy: PopulationStrategy, player: int, episodes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws a response's opponents: profiles `[m, P]`, its own entry 0, and the episodes of each, `[m]`.

    Each of the others' policies, or each profile of a joint distribution, appears in proportion to its
    weight, to within one episode, in random order. The draw is unbiased and has less variance than drawing
    one by one.
    """
    if isinstance(meta_strategy, JointStrategy):
        drawn = meta_strategy.profiles[spread_draws(meta_strategy.probabilities, rng, episodes)].copy()
        drawn[:, player] = 0
    else:
        drawn = np.stack(
            [
                np.zeros(episodes, np.int64) if other == player else spread_draws(marginal, rng, episodes)
                for other, marginal in enumerate(meta_strategy.marginals)
            ],
            axis=1,
        )
    profiles, counts = np.unique(drawn, axis=0, return_counts=True)
    return profiles, counts


def mixture_values(payoffs: SampledPayoffs, meta_strategy: PopulationStrategy) -> list[Estimate]:
    """Estimates each player's expected return when all draw their policies by the meta-strategy.

    The meta-strategy may belong to earlier, smaller populations.
    """
    if isinstance(meta_strategy, JointStrategy):
        weights = cell_probabilities(meta_strategy, payoffs.mean.shape[1:])
    else:
        weights = functools.reduce(np.multiply.outer, meta_strategy.marginals)
    cells = tuple(slice(size) for size in weights.shape)
    # Profiles without weight do not count, and their means may be NaN.
    drawn = weights > 0
    estimates = []
    for mean, error in zip(payoffs.mean, payoffs.standard_error, strict=True):
        # Cells are simulated independently, so variances add up with squared weights.
        variance = weights[drawn] ** 2 @ error[cells][drawn] ** 2
        estimates.append(Estimate(float(weights[drawn] @ mean[cells][drawn]), float(np.sqrt(variance))))
    return estimates

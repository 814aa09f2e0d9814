"""Choice of the best of several policies by simulation.

All candidates play against the same opponents with the same random numbers, so that the luck of the deal,
which is most of the noise, is nearly the same for all. Dimensions: `P` players, `m` profiles.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from acme_psro.evaluation.sampled import draw_profiles
from acme_psro.meta_game import simulation
from acme_psro.meta_game.sampled import SampledMetaGame
from acme_psro.meta_game.simulation import SampledReturns
from acme_psro.policies.meta_strategy import PopulationStrategy
from acme_psro.policies.stored import PolicyFile

# The newest policies, which are compared. Older ones are hardly ever the best.
MOST_CANDIDATES = 5
# Games of each candidate. They tell a policy that fell apart from one that did not.
EPISODES = 500
# Standard errors by which an earlier policy must be better. With one or none, noise takes policies that are
# worse than the last one more often than better ones.
BETTER_ERRORS = 2.0


class Choice(NamedTuple):
    """The best of several candidates.

    Attributes:
      place: its index among them.
      episodes: number of games that were played to find it.
    """

    place: int
    episodes: int


def choose(
    game: SampledMetaGame,
    candidates: Sequence[Path],
    player: int,
    populations: Sequence[tuple[PolicyFile, ...]],
    meta_strategy: PopulationStrategy,
    seed: int,
) -> Choice:
    """Chooses the candidate with the highest mean return, if it is clearly better than the last one.

    Args:
      game: simulates.
      candidates: files of stored policies of the player; at least one.
      player: who responds.
      populations: of every player.
      meta_strategy: by which the others draw their policies.
      seed: not negative; a gain must be estimated with another one.
    """
    last = len(candidates) - 1
    if not last:
        return Choice(last, 0)
    profiles, episodes = draw_profiles(meta_strategy, player, EPISODES, np.random.default_rng(seed))
    paths = [[policy.path for policy in population] for population in populations]
    means, errors = [], []
    for candidate in candidates:
        # Each is alone in its player's place, so that random numbers, which depend on indices, are the same.
        paths[player] = [candidate]
        played = game.simulate(paths, profiles, episodes, seed)
        rows = [SampledReturns(*(field[row : row + 1] for field in played)) for row in range(len(profiles))]
        whole = functools.reduce(simulation.merge, rows)
        means.append(float(whole.mean[0, player]))
        errors.append(float(whole.standard_error[0, player]))
    best = int(np.argmax(means))
    # As if candidates were played independently, which overstates the error of the difference.
    is_better = means[best] - means[last] > BETTER_ERRORS * math.hypot(errors[best], errors[last])
    return Choice(best if is_better else last, EPISODES * len(candidates))

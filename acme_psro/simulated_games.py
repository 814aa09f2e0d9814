"""Games too large to compile: what policies from files earn in them, by play.

Dimensions: `P` players, `n_p` policies of player p, `m` profiles.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from acme_psro import mixture_weights, sampled_payoffs, simulation
from acme_psro.meta_strategy import MetaStrategy
from acme_psro.oracles.base import BestResponseTask
from acme_psro.sampled_payoffs import SampledPayoffs, Solve
from acme_psro.simulation import SampledReturns
from acme_psro.stored_populations import PolicyFile
from acme_psro.system import cores

# As `acme_psro.simulation_workers.Workers.simulate`: (game, paths `[P][n_p]`, profiles `[m, P]`, episodes of
# each, seed, episodes of each played before) -> their returns.
Simulate = Callable[
    [str, Sequence[Sequence[Path]], np.ndarray, "int | np.ndarray", int, "int | np.ndarray"], SampledReturns
]


@dataclasses.dataclass(frozen=True)
class SimulationConfig:
    """How much is played to find out what policies earn, and by how many.

    Attributes:
      payoff_episodes: of every profile of policies, at least.
      extra_payoff_episodes: an iteration, shared out where the meta-strategy hangs upon them.
      gain_episodes: of every new response against the others' mixture.
      payoff_workers: processes that play.
    """

    payoff_episodes: int = 200
    extra_payoff_episodes: int = 2000
    gain_episodes: int = 2000
    payoff_workers: int = dataclasses.field(default_factory=cores.count)

    def __post_init__(self) -> None:
        least = {"payoff_episodes": 2, "extra_payoff_episodes": 0, "gain_episodes": 2, "payoff_workers": 1}
        for name, number in least.items():
            if getattr(self, name) < number:
                raise ValueError(f"--{name} must be at least {number}, not {getattr(self, name)}.")


class Estimate(NamedTuple):
    """A number found by play.

    Attributes:
      value: the estimate.
      standard_error: its own.
    """

    value: float
    standard_error: float


class SimulatedGame:
    """A game, and what plays it.

    Args:
      name: `str` of OpenSpiel's, turn-based.
      simulate: plays profiles of policies from files.
      config: how much is played.
      solve: the meta-solver.
      seed: of payoffs; each profile's episodes follow from it and are continued where it gets more.

    Attributes:
      name: of the game.
      config: how much is played.
    """

    def __init__(
        self, name: str, simulate: Simulate, config: SimulationConfig, solve: Solve, seed: int
    ) -> None:
        self.name = name
        self.config = config
        self._simulate = simulate
        self._solve = solve
        self._seed = seed

    def payoffs(self, populations: Sequence[tuple[PolicyFile, ...]], known: SampledPayoffs) -> SampledPayoffs:
        """The payoffs of all profiles, and more episodes of those that the meta-strategy hangs upon.

        Args:
          populations: of every player.
          known: payoffs of smaller populations.
        """
        paths = [[policy.path for policy in population] for population in populations]

        def play(cells: np.ndarray, episodes: np.ndarray, begun: np.ndarray) -> SampledReturns:
            return self._simulate(self.name, paths, cells, episodes, self._seed, begun)

        sizes = [len(own) for own in paths]
        filled = sampled_payoffs.fill(play, known, sizes, self.config.payoff_episodes)
        budget = self.config.extra_payoff_episodes
        return sampled_payoffs.more_where_uncertain(play, filled, self._solve, budget)

    def gain(self, response: Path, task: BestResponseTask, seed: int) -> Estimate:
        """What a response earns against the others' mixture, less what the player's own mixture earns.

        The first is played now, in `gain_episodes` games, against policies that each turn up as often as the
        mixture draws them; the second follows from the payoffs. The error takes the two for independent and
        the games for drawn one by one, which makes it a little larger than it is.

        Args:
          response: of a stored policy.
          task: that was responded to, with its payoffs.
          seed: not negative.
        """
        paths = [[policy.path for policy in population] for population in task.populations]
        paths[task.player] = [response]
        profiles, episodes = draw_profiles(
            task.meta_strategy, task.player, self.config.gain_episodes, np.random.default_rng(seed)
        )
        played = self._simulate(self.name, paths, profiles, episodes, seed, 0)
        rows = [SampledReturns(*(field[row : row + 1] for field in played)) for row in range(len(profiles))]
        whole = functools.reduce(simulation.merge, rows)
        own = mixture_values(task.payoffs, task.meta_strategy)[task.player]
        return Estimate(
            float(whole.mean[0, task.player]) - own.value,
            float(np.hypot(whole.standard_error[0, task.player], own.standard_error)),
        )


def draw_profiles(
    meta_strategy: MetaStrategy, player: int, episodes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Whom a response meets: profiles `[m, P]`, its own entry 0, and how many episodes each gets, `[m]`.

    Each of the others' policies turns up as often as its weight has it, to within one episode, in an order
    of its own: no draw favours any, and less is left to chance than where they are drawn one by one.
    """
    columns = [
        np.zeros(episodes, np.int64) if other == player else mixture_weights.spread(marginal, rng, episodes)
        for other, marginal in enumerate(meta_strategy.marginals)
    ]
    profiles, counts = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)
    return profiles, counts


def mixture_values(payoffs: SampledPayoffs, meta_strategy: MetaStrategy) -> list[Estimate]:
    """What each player earns where all draw their policies by the meta-strategy.

    The meta-strategy may be one of earlier, smaller populations.
    """
    weights = functools.reduce(np.multiply.outer, meta_strategy.marginals)
    cells = tuple(slice(size) for size in weights.shape)
    # Profiles that are never drawn say nothing, whatever is known of them.
    drawn = weights > 0
    estimates = []
    for mean, error in zip(payoffs.mean, payoffs.standard_error, strict=True):
        variance = weights[drawn] ** 2 @ error[cells][drawn] ** 2
        estimates.append(Estimate(float(weights[drawn] @ mean[cells][drawn]), float(np.sqrt(variance))))
    return estimates

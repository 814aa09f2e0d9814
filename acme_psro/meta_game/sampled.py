"""Games too large to compile: what policies from files earn in them, by play.

Dimensions: `P` players, `n_p` policies of player p, `m` profiles.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from acme_psro.meta_game import estimates
from acme_psro.meta_game.estimates import SampledPayoffs, Solve
from acme_psro.meta_game.simulation import SampledReturns
from acme_psro.policies.stored import PolicyFile
from acme_psro.system import cores

# As `acme_psro.meta_game.workers.Workers.simulate`: (game, paths `[P][n_p]`, profiles `[m, P]`, episodes of
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

    def simulate(
        self,
        paths: Sequence[Sequence[Path]],
        profiles: np.ndarray,
        episodes: np.ndarray,
        seed: int,
        begun: int | np.ndarray = 0,
    ) -> SampledReturns:
        """Returns of profiles of policies from files; see `acme_psro.meta_game.workers.Workers.simulate`."""
        return self._simulate(self.name, paths, profiles, episodes, seed, begun)

    def payoffs(self, populations: Sequence[tuple[PolicyFile, ...]], known: SampledPayoffs) -> SampledPayoffs:
        """The payoffs of all profiles, and more episodes of those that the meta-strategy hangs upon.

        Args:
          populations: of every player.
          known: payoffs of smaller populations.
        """
        paths = [[policy.path for policy in population] for population in populations]

        def play(cells: np.ndarray, episodes: np.ndarray, begun: np.ndarray) -> SampledReturns:
            return self.simulate(paths, cells, episodes, self._seed, begun)

        sizes = [len(own) for own in paths]
        filled = estimates.fill(play, known, sizes, self.config.payoff_episodes)
        budget = self.config.extra_payoff_episodes
        return estimates.more_where_uncertain(play, filled, self._solve, budget)

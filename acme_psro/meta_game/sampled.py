"""Sampled payoffs: returns of policies from files in games of any size, estimated by simulation.

Dimensions: `P` players, `n_p` policies of player p, `m` profiles.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from acme_psro.games.loading import load_game
from acme_psro.meta_game import estimates
from acme_psro.meta_game.estimates import SampledPayoffs, Solve
from acme_psro.meta_game.simulation import SampledReturns
from acme_psro.policies import decoders, stored
from acme_psro.policies.stored import PolicyFile
from acme_psro.system import cores

# As `acme_psro.meta_game.workers.Workers.simulate`: (game, paths `[P][n_p]`, profiles `[m, P]`, episodes of
# each, seed, episodes of each played before) -> their returns.
Simulate = Callable[
    [str, Sequence[Sequence[Path]], np.ndarray, "int | np.ndarray", int, "int | np.ndarray"], SampledReturns
]


@dataclasses.dataclass(frozen=True)
class SimulationConfig:
    """Numbers of simulated episodes and of the processes that simulate.

    Attributes:
      payoff_episodes: episodes of every profile of policies, at least.
      extra_payoff_episodes: further episodes in an iteration, for the profiles on which the meta-strategy
        depends most.
      gain_episodes: episodes of every new response against the others' mixture.
      payoff_workers: processes that simulate.
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


class SampledMetaGame:
    """The meta-game of stored policies in a game that is simulated; see `acme_psro.meta_game.base.MetaGame`.

    Args:
      name: the game's name, see `acme_psro.games.identity`.
      simulate: simulates profiles of policies from files.
      config: the numbers of episodes.
      solve: the meta-solver.
      seed: of payoffs; each profile's episodes follow from it and are continued if the profile gets more.
      place_policy: (player, index) -> the file of a policy that joins the player's population.
      release: is called when payoffs are known, to free what simulation needed.

    Attributes:
      name: the game.
      config: the numbers of episodes.
    """

    def __init__(
        self,
        name: str,
        simulate: Simulate,
        config: SimulationConfig,
        solve: Solve,
        seed: int,
        place_policy: Callable[[int, int], Path],
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.config = config
        self._simulate = simulate
        self._solve = solve
        self._seed = seed
        self._place_policy = place_policy
        self._release = release

    def first(self) -> tuple[PolicyFile, ...]:
        """Returns uniform policies, having written them."""
        game = load_game(self.name)
        return tuple(
            stored.write_file(self._place_policy(player, 0), decoders.uniform(self.name, player))
            for player in range(game.num_players())
        )

    def extend(
        self, populations: Sequence[tuple[PolicyFile, ...]], known: SampledPayoffs | None
    ) -> SampledPayoffs:
        """Estimates the payoffs of all profiles, with more episodes if the meta-strategy depends on them.

        Args:
          populations: of every player.
          known: payoffs of smaller populations; None: nothing is known.
        """
        paths = [[policy.path for policy in population] for population in populations]

        # One seed in all iterations: `begun` continues a profile's episodes, so none is played twice.
        def play(cells: np.ndarray, episodes: np.ndarray, begun: np.ndarray) -> SampledReturns:
            return self.simulate(paths, cells, episodes, self._seed, begun)

        sizes = [len(own) for own in paths]
        known = estimates.empty(len(sizes)) if known is None else known
        # The meta-game can be solved only if every cell has an estimate, so refinement comes second.
        filled = estimates.fill(play, known, sizes, self.config.payoff_episodes)
        budget = self.config.extra_payoff_episodes
        refined = estimates.more_where_uncertain(play, filled, self._solve, budget)
        self._release()
        return refined

    def tensor(self, payoffs: SampledPayoffs) -> np.ndarray:
        """Returns the mean payoffs."""
        return payoffs.mean

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

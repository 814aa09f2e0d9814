"""Judgement of the frontier's members by games against the members in their rows.

Exact gains are unknown to a program, and estimated payoffs lag behind a network that learns. So the newest
member of the frontier plays games of its own against its row, and so does the best one so far, whose earlier
result is not trusted: the largest of several noisy results would be too large, and the row may have changed
since.

Dimensions: `P` = 2 players, `N` members.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from acme_psro.agent_runs.neupl_program import frozen as files
from acme_psro.agent_runs.neupl_program.frozen import Frozen
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation, member
from acme_psro.games.batch_policies import BatchPolicy
from acme_psro.meta_game.simulation import simulate
from acme_psro.neupl.freezing import judge
from acme_psro.policies import decoders
from acme_psro.policies.stored import PolicyFile, StoredPolicy

# Random numbers of games of the newest member, and of the best one so far.
_NEWEST, _BEST = 0, 1
# Opponents that are drawn less often than this are left out.
_NEGLIGIBLE = 1e-6


class Judge:
    """Judges the members of the frontier after each epoch, and keeps the best ones.

    A member makes progress if it earns more than the best one so far by more than the standard error of the
    difference. After `patience` epochs without progress the best one is fixed.

    Args:
      game: OpenSpiel's name of the game.
      directory: the program's directory.
      num_games: games by which a member is judged.
      patience: epochs.
      seed: seed of all games.
    """

    def __init__(self, game: str, directory: Path, num_games: int, patience: int, seed: int) -> None:
        self._game, self._directory = game, directory
        self._num_games, self._patience, self._seed = num_games, patience, seed

    def __call__(self, frozen: Frozen, population: NeuPLPopulation) -> Frozen:
        """Returns the state after an epoch.

        Args:
          frozen: the state before it.
          population: the members after it; those that are fixed are its `fixed` ones.
        """
        progress, at = frozen.progress, frozen.progress.frontier
        if at >= population.graph.shape[-1]:
            return dataclasses.replace(frozen, epoch=population.epoch)
        players = np.flatnonzero(~progress.is_fixed)
        newest = {int(player): member(population, int(player), at) for player in players}
        gains, best, least = np.full((1, 2), -np.inf), progress.best.copy(), np.zeros(2)
        for player, policy in newest.items():
            gains[0, player], error = self._value(population, player, at, policy, _NEWEST)
            if (player, at) in frozen.names:
                file = PolicyFile(files.place(self._directory, frozen.names[player, at]))
                best[player], other = self._value(population, player, at, files.read(file), _BEST)
                least[player] = np.hypot(error, other)
        progress = dataclasses.replace(progress, best=best)
        progress, kinds = judge(progress, gains, least, self._patience)
        names, rows = dict(frozen.names), frozen.rows.copy()
        for player in np.flatnonzero(kinds >= 0).tolist():
            names[player, at] = files.write(self._directory, at, newest[player])
            rows[player, at] = population.graph[player, at]
        return Frozen(population.epoch, progress, names, rows)

    def _value(
        self, population: NeuPLPopulation, player: int, at: int, policy: StoredPolicy, stream: int
    ) -> tuple[float, float]:
        """Returns a policy's mean return against the row of the player's member `at`, and its standard error.

        As many games are played against each opponent as its probability says, so that the opponent's choice
        adds no noise; at least two, by which their noise is known.
        """
        row = population.graph[player, at]
        opponents = np.flatnonzero(row > _NEGLIGIBLE)
        games = np.maximum(2, np.ceil(self._num_games * row[opponents])).astype(int)
        own = (decoders.decode(policy, decoders.DECODERS),)
        others = tuple(
            decoders.decode(member(population, 1 - player, int(index)), decoders.DECODERS)
            for index in opponents
        )
        policies: list[tuple[BatchPolicy, ...]] = [own, others] if player == 0 else [others, own]
        profiles = np.zeros((len(opponents), 2), int)
        profiles[:, 1 - player] = np.arange(len(opponents))
        seed = np.random.SeedSequence([self._seed, population.epoch, player, stream]).generate_state(1)
        returns = simulate(self._game, policies, profiles, games, int(seed[0]))
        weights = row[opponents] / row[opponents].sum()
        error = np.sqrt(np.square(weights * returns.standard_error[:, player]).sum())
        return float(weights @ returns.mean[:, player]), float(error)

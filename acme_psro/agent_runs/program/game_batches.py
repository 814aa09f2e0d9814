"""Batch of games that one actor of a program plays in parallel."""

from __future__ import annotations

import numpy as np

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.environments import opponents
from acme_psro.environments.errors import NonFiniteError
from acme_psro.games.batched import GameBatch, Steps
from agents.core import Observation


class FiniteGames:
    """Batch of games that checks all observations and rewards, so that no NaN or infinity reaches replay.

    Args:
      games: the games.
      name: name of the environment, for error messages.

    Attributes:
      num_games: number of games in the batch.
      nothing: see `GameBatch`.
    """

    def __init__(self, games: GameBatch, name: str) -> None:
        self._games = games
        self._name = name
        self.num_games = games.num_games
        self.nothing = games.nothing

    def reset(self) -> Observation:
        """Starts all games, see `GameBatch.reset`.

        Raises:
          NonFiniteError: an observation is NaN or infinite.
        """
        observation = self._games.reset()
        self._check("observation.info_state", np.asarray(observation.info_state))
        return observation

    def step(self, actions: np.ndarray) -> Steps:
        """Plays one action in each game, see `GameBatch.step`.

        Raises:
          NonFiniteError: a reward or an observation is NaN or infinite.
        """
        steps = self._games.step(actions)
        self._check("reward", steps.reward)
        self._check("observation.info_state", np.asarray(steps.observation.info_state))
        return steps

    def _check(self, field: str, values: np.ndarray) -> None:
        if not np.isfinite(values).all():
            raise NonFiniteError(f"{self._name}: {field} is NaN or infinite.")


def make_game_batch(config: AgentRunConfig, seed: int, trembling: bool = True) -> FiniteGames:
    """Makes the configured games of one actor.

    Args:
      config: configuration of a run in a game.
      seed: seed of chance and of the opponents' actions.
      trembling: True to play against the opponents' trembles too, as only a learner does.

    Raises:
      ValueError: the game, the player or the opponent does not exist.
    """
    game = config.environment.partition(":")[2]
    others = None
    if config.opponent is not None:
        others = opponents.read_batched(config.opponent, game, trembling=trembling)
    games = GameBatch(game, config.player, config.games_per_actor, others, seed)
    return FiniteGames(games, config.environment)

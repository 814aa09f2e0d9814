"""The games that one actor of a program plays side by side."""

from __future__ import annotations

import agents.acme_layer.compat  # noqa: F401

# isort: split

import numpy as np

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.environments import opponents
from acme_psro.environments.wrappers import NonFiniteError
from acme_psro.games.batched import GameBatch, Steps
from agents.core import Observation


class FiniteGames:
    """Games side by side that stop at the first NaN or infinity, before it is learnt from.

    Args:
      games: that are played.
      name: of the environment, for messages.

    `reset` and `step` raise a NonFiniteError.
    """

    def __init__(self, games: GameBatch, name: str) -> None:
        self._games = games
        self._name = name
        self.num_games = games.num_games
        self.nothing = games.nothing

    def reset(self) -> Observation:
        """See `GameBatch`."""
        observation = self._games.reset()
        self._check("observation.info_state", np.asarray(observation.info_state))
        return observation

    def step(self, actions: np.ndarray) -> Steps:
        """See `GameBatch`."""
        steps = self._games.step(actions)
        self._check("reward", steps.reward)
        self._check("observation.info_state", np.asarray(steps.observation.info_state))
        return steps

    def _check(self, field: str, values: np.ndarray) -> None:
        if not np.isfinite(values).all():
            raise NonFiniteError(f"{self._name}: {field} is NaN or infinite.")


def make_game_batch(config: AgentRunConfig, seed: int) -> FiniteGames:
    """The configured games of one actor.

    Args:
      config: of a run in a game.
      seed: of everything random in them.

    Raises:
      ValueError: there is no such game, player or opponent.
    """
    game = config.environment.partition(":")[2]
    others = None if config.opponent is None else opponents.read_batched(config.opponent, game)
    games = GameBatch(game, config.player, config.games_per_actor, others, seed)
    return FiniteGames(games, config.environment)

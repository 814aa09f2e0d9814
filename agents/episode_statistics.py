"""Statistics of the episodes of many games that are stepped together.

Dimensions: `E` games.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np


class EpisodeStatistics:
    """Lengths and returns of the running episodes, and the number of finished ones.

    Args:
      num_games: number of games, `E`.
    """

    def __init__(self, num_games: int) -> None:
        self._lengths = np.zeros(num_games, np.int64)
        self._returns = np.zeros(num_games, np.float32)
        self._started = np.full(num_games, time.time())
        # The steps of all games together: so far, and up to the beginning of each game's running episode.
        self._steps = 0
        self._steps_at_start = np.zeros(num_games, np.int64)
        self._episodes_ended = 0
        self._steps_ended = 0

    def has_reached(self, num_episodes: int | None, num_steps: int | None) -> bool:
        """Returns True if a limit is given and the finished episodes, or their steps, have reached it."""
        return (num_episodes is not None and self._episodes_ended >= num_episodes) or (
            num_steps is not None and self._steps_ended >= num_steps
        )

    def add(self, reward: np.ndarray, last: np.ndarray) -> list[dict[str, Any]]:
        """Adds one step of all games and returns a row for each episode that ended in it.

        Args:
          reward: `[E]` float32.
          last: `[E]` bool, True if the step ended an episode.
        """
        self._lengths += 1
        self._returns += reward
        self._steps += len(reward)
        ended = np.flatnonzero(last)
        if not len(ended):
            return []
        now = time.time()
        # An episode of one step can be shorter than the clock's resolution.
        seconds = np.maximum(now - self._started[ended], 1e-9)
        pace = (self._steps - self._steps_at_start[ended]) / seconds
        values = (self._lengths[ended].tolist(), self._returns[ended], pace.tolist())
        rows = [
            dict(zip(("episode_length", "episode_return", "steps_per_second"), row, strict=True))
            for row in zip(*values, strict=True)
        ]
        self._episodes_ended += len(ended)
        self._steps_ended += int(self._lengths[ended].sum())
        self._lengths[ended] = self._returns[ended] = 0
        self._started[ended], self._steps_at_start[ended] = now, self._steps
        return rows

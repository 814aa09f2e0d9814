"""Estimate of the time that a run still needs."""

from __future__ import annotations

import collections
import math

# Older progress says little: a run becomes faster after compilation, and slower during evaluations.
_WINDOW_SECONDS = 120.0
_SECONDS_BETWEEN_MARKS = 1.0


class Pace:
    """Estimates the time left from the progress of the last minutes.

    Args:
      total: number of steps of the whole run.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._marks: collections.deque[tuple[float, int]] = collections.deque()

    def restart(self) -> None:
        """Forgets all progress, because the run will have another pace from now on."""
        self._marks.clear()

    def add(self, now: float, steps: int) -> None:
        """Adds progress.

        Args:
          now: the time, in seconds.
          steps: number of steps made so far.
        """
        if self._marks and now - self._marks[-1][0] < _SECONDS_BETWEEN_MARKS:
            return
        self._marks.append((now, steps))
        while len(self._marks) > 2 and now - self._marks[1][0] > _WINDOW_SECONDS:
            self._marks.popleft()

    def left(self, now: float) -> float:
        """Returns the estimated seconds until all steps are made; nan if it is too early to tell.

        Args:
          now: the time, in seconds. A run that makes no progress takes longer and longer.
        """
        if len(self._marks) < 2:
            return math.nan
        (began, before), (_, steps) = self._marks[0], self._marks[-1]
        if steps <= before:
            return math.nan
        return max(0, self._total - steps) * (now - began) / (steps - before)

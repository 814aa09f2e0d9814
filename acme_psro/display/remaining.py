"""Estimate of the time that a run still needs."""

from __future__ import annotations

from acme_psro.display import formats
from acme_psro.display.formats import Row

# Iterations become slower as populations grow, so only the latest ones count.
_ITERATIONS = 5
# Shorter times are not worth a word.
_LEAST_SECONDS = 10.0


class RemainingTime:
    """Time that a run needs to reach its last iteration, estimated from its latest iterations.

    Args:
      iterations: the number of the run's last iteration.
    """

    def __init__(self, iterations: int):
        self._iterations = iterations
        # Iterations and their wall times, the oldest first. The tuple is replaced and never changed, because
        # displays read it in threads of their own.
        self._times: tuple[tuple[int, float], ...] = ()

    def add(self, row: Row) -> None:
        """Adds the metrics row of a finished iteration, or replaces it."""
        iteration = int(row["iteration"])
        others = [entry for entry in self._times if entry[0] != iteration]
        self._times = (*others, (iteration, float(row["wall_seconds"])))[-_ITERATIONS - 1 :]

    def seconds(self) -> float | None:
        """Returns the seconds from the newest row to the last iteration; None if they are not known."""
        times = self._times
        if len(times) < 2:
            return None
        if len(times) > 2 and times[0][0] == 0:
            # The first iteration may have spent most of its time in the compiler.
            times = times[1:]
        (first, began), (last, ended) = times[0], times[-1]
        if last <= first:
            return None
        return max(0, self._iterations - last) * (ended - began) / (last - first)

    def text(self, separator: str) -> str:
        """Returns e.g. `about 12 min 30 s left` after a separator; nothing if it is short or unknown."""
        seconds = self.seconds()
        if seconds is None or seconds < _LEAST_SECONDS:
            return ""
        return f"{separator}about {formats.format_duration(seconds)} left"

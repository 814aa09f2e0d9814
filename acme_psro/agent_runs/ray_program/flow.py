"""Flow control between actors that insert decisions and a learner that samples them.

The rule is that of Reverb's `SampleToInsertRatio`. With `N` decisions inserted and `S` sampled, the
difference `r N - S` stays within `error_buffer` of `r min_size`, for a ratio of `r` samples per insert.
"""

from __future__ import annotations

import dataclasses
import math

from agents.replay_config import ReplayConfig


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on how far actors and learner may run ahead of each other.

    Attributes:
      samples_per_insert: average number of times that a decision is sampled, `r`.
      min_size: number of decisions before the first sample.
      error_buffer: largest deviation of `r N - S` from `r min_size`, in samples. If it is infinite, neither
        waits for the other once there are `min_size` decisions.
    """

    samples_per_insert: float
    min_size: int
    error_buffer: float

    def may_insert(self, inserted: int, sampled: int) -> bool:
        """Returns True if an actor may insert its next message.

        The message itself is not counted, so that a message of any size is inserted at some time.

        Args:
          inserted: number of decisions inserted so far, `N`.
          sampled: number of decisions sampled so far, `S`.
        """
        if inserted < self.min_size:
            return True
        return self._excess(inserted, sampled) <= self.error_buffer

    def may_sample(self, inserted: int, sampled: int, size: int) -> bool:
        """Returns True if the learner may take its next sample.

        Args:
          inserted: number of decisions inserted so far, `N`.
          sampled: number of decisions sampled so far, `S`.
          size: number of decisions in the sample.
        """
        if inserted < self.min_size:
            return False
        return self._excess(inserted, sampled + size) >= -self.error_buffer

    def _excess(self, inserted: int, sampled: int) -> float:
        return self.samples_per_insert * (inserted - self.min_size) - sampled


def make_limits(replay: ReplayConfig) -> Limits:
    """Makes the limits of a replay, the same as those of its table in Reverb as far as messages allow."""
    tolerance = replay.samples_per_insert_tolerance_rate
    if math.isinf(tolerance):
        return Limits(replay.samples_per_insert, replay.min_replay_size, math.inf)
    sample = replay.batch_size * replay.gradient_steps_per_learner_step
    # With a smaller buffer, actors and learner could wait for each other without an end.
    least = max(2 * max(1.0, replay.samples_per_insert), sample)
    buffer = max(tolerance * replay.samples_per_insert * replay.min_replay_size, least)
    return Limits(replay.samples_per_insert, replay.min_replay_size, buffer)

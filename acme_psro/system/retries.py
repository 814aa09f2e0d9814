"""Limits on relaunches of a job, and the waiting times between them.

A job that fails by itself, by an error or because it hangs, will mostly fail again, and gets few attempts. A
job that is lost, because its machine, its process or a part of it was taken away from outside, has done
nothing wrong and gets more. They are limited too: a job that needs more memory than any machine has is killed
each time.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple


class Ends(NamedTuple):
    """Ends of a job before it was done, in a row without progress in between.

    Attributes:
      failures: number of ends by the job's own doing.
      losses: number of ends by something outside of the job.
    """

    failures: int = 0
    losses: int = 0

    def add(self, is_loss: bool) -> Ends:
        """Returns the counts with one more end."""
        return Ends(self.failures + (not is_loss), self.losses + is_loss)


@dataclasses.dataclass(frozen=True)
class Retries:
    """Limits on relaunches without progress, and the exponential backoff between them.

    Attributes:
      most: largest number of relaunches after failures.
      first_wait: seconds to wait before the first relaunch.
      factor: factor by which each wait is longer than the one before.
      most_wait: upper limit of a wait, in seconds.
      most_lost: largest number of relaunches after losses, which are counted apart from failures.

    Raises:
      ValueError: a number is out of range.
    """

    most: int = 3
    first_wait: float = 1.0
    factor: float = 2.0
    most_wait: float = 30.0
    most_lost: int = 12

    def __post_init__(self) -> None:
        if not (
            self.most >= 0
            and self.most_lost >= 0
            and 0 <= self.first_wait <= self.most_wait
            and self.factor >= 1
        ):
            raise ValueError(
                "retries need most >= 0, 0 <= first_wait <= most_wait, factor >= 1 and most_lost >= 0, not "
                f"{dataclasses.astuple(self)} for (most, first_wait, factor, most_wait, most_lost)."
            )

    def wait(self, ends: int) -> float:
        """Returns the seconds to wait before the next launch.

        Args:
          ends: the number of ends in a row, at least 1.
        """
        # The exponent is limited because a large power of a float raises an OverflowError.
        return min(self.most_wait, self.first_wait * self.factor ** min(ends - 1, 100))

    def give_up(self, ends: Ends) -> str | None:
        """Returns why there is no other launch, as the end of a sentence; None if there is one.

        Args:
          ends: the ends of the job so far; "" stands for a job that is never launched again.
        """
        if ends.failures > self.most:
            return f"launched {sum(ends)} times without getting on" if self.most else ""
        if ends.losses > self.most_lost:
            return f"lost {ends.losses} times without getting on" if self.most_lost else ""
        return None

    def describe(self, ends: Ends, is_loss: bool) -> str:
        """Returns when the next launch is and how many there may be, for the user."""
        count, most = (ends.losses, self.most_lost) if is_loss else (ends.failures, self.most)
        return f"launching it again in {self.wait(sum(ends)):g} s ({count} of {most})"

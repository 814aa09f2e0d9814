"""Stopping criterion for runs that no longer improve.

The imports are kept light because every configuration holds a `Plateau`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Plateau:
    """Parameters of the stopping criterion that `has_plateaued` applies.

    Attributes:
      patience: number of evaluations in each of the two windows that are compared. It is at least 2.
      min_improvement: smallest increase of the mean return that counts as an improvement, in the units of
        the return. It is finite and not negative.

    Raises:
      ValueError: a parameter is out of its range.
    """

    patience: int
    min_improvement: float = 0.0

    def __post_init__(self) -> None:
        if self.patience < 2:
            raise ValueError(
                f"--plateau_patience must be 0, for none, or at least 2 evaluations, not {self.patience}."
            )
        if not 0 <= self.min_improvement < math.inf:
            raise ValueError(
                f"--plateau_min_improvement must be at least 0 and finite, not {self.min_improvement}."
            )


def has_plateaued(returns: Sequence[float], standard_errors: Sequence[float], plateau: Plateau) -> bool:
    """Returns True if the last evaluations are no better than the evaluations before them.

    The mean of the last `patience` evaluations is compared to the mean of the `patience` evaluations before
    them. The test is one-sided: noise must not end a run that still improves, but a run that continues for
    too long only costs time. A plateau is therefore reported only if the difference of the two means plus
    one standard error of this difference is at most `min_improvement`.

    Args:
      returns: mean return of each evaluation, oldest first.
      standard_errors: standard error of each mean return. A NaN means that the error is unknown, and then no
        plateau is reported.
      plateau: parameters of the criterion.

    Returns:
      True if both windows are complete and show no improvement; False otherwise.
    """
    patience = plateau.patience
    if len(returns) < 2 * patience:
        return False
    last, before = returns[-patience:], returns[-2 * patience : -patience]
    improvement = (math.fsum(last) - math.fsum(before)) / patience
    # Evaluations are independent, so the variances of both windows add up.
    error = math.sqrt(math.fsum(each**2 for each in standard_errors[-2 * patience :])) / patience
    # A NaN error makes the comparison false, so the run continues.
    return improvement + error <= plateau.min_improvement

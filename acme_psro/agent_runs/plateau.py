"""When a run has stopped getting better.

Light to import: configurations hold a `Plateau`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Plateau:
    """What counts as no longer getting better; see `has_plateaued`.

    Attributes:
      patience: evaluations, at least 2.
      min_improvement: of the mean return, in its own units; not negative.
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
    """Whether the last evaluations are no better than those before them.

    The mean of the last `patience` evaluations is compared to the mean of the `patience` before. Noise must
    not end a run that still improves, while one that goes on for nothing only costs time: so there is a
    plateau where the difference, were it one standard error greater, would still be no more than
    `min_improvement`.

    Args:
      returns: mean return of each evaluation, in order.
      standard_errors: of the returns; NaN where unknown, from which nothing can be concluded.
      plateau: what counts as one.
    """
    patience = plateau.patience
    if len(returns) < 2 * patience:
        return False
    last, before = returns[-patience:], returns[-2 * patience : -patience]
    improvement = (math.fsum(last) - math.fsum(before)) / patience
    error = math.sqrt(math.fsum(each**2 for each in standard_errors[-2 * patience :])) / patience
    return improvement + error <= plateau.min_improvement

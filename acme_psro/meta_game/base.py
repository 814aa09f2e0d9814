"""Interface between the loops and the two ways of knowing payoffs, exact and sampled.

Dimensions: `P` players, `n_p` policies of player p.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

# A policy in a population: a `tabular.Policy` of a compiled game, or a `stored.PolicyFile`.
PolicyT = TypeVar("PolicyT")
# Payoffs of all profiles: an array `[P, n_1, .., n_P]`, or `estimates.SampledPayoffs`.
PayoffsT = TypeVar("PayoffsT")


class MetaGame(Protocol[PolicyT, PayoffsT]):
    """The game of choosing policies from populations, as far as a loop needs to know it."""

    def first(self) -> tuple[PolicyT, ...]:
        """Returns the policy that each player's population begins with."""
        ...

    def extend(self, populations: Sequence[tuple[PolicyT, ...]], known: PayoffsT | None) -> PayoffsT:
        """Returns the payoffs of all profiles of the populations.

        Args:
          populations: one a player.
          known: payoffs of smaller populations, which are kept; None at the beginning.
        """
        ...

    def tensor(self, payoffs: PayoffsT) -> np.ndarray:
        """Returns the payoff tensor `[P, n_1, .., n_P]` that a meta-solver takes, in utility units."""
        ...

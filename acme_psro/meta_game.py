"""The payoff tensor of the meta-game: growing it and finding what is missing.

A cell that has not been filled is NaN. Shape `[P, n_1, .., n_P]`: player p's expected return when each
player q plays its policy n_q.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def empty(num_players: int) -> np.ndarray:
    """The payoff tensor of populations without policies, `[P, 0, .., 0]`."""
    return np.empty((num_players,) + (0,) * num_players)


def extend(payoffs: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """The tensor for populations of the given sizes, known cells kept, new ones NaN.

    Raises:
      ValueError: sizes below the present ones; populations only grow.
    """
    if len(sizes) != payoffs.shape[0] or any(
        new < old for new, old in zip(sizes, payoffs.shape[1:], strict=True)
    ):
        raise ValueError(f"a payoff tensor of {payoffs.shape[1:]} cannot become one of {tuple(sizes)}.")
    grown = np.full((payoffs.shape[0], *sizes), np.nan)
    known = (slice(None), *(slice(size) for size in payoffs.shape[1:]))
    grown[known] = payoffs
    return grown


def missing(known: Sequence[int], sizes: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Disjoint boxes of profiles that are in a tensor of `sizes` and not in one of `known` sizes."""
    for player, (old, new) in enumerate(zip(known, sizes, strict=True)):
        if new > old:
            before = tuple(slice(0, size) for size in known[:player])
            after = tuple(slice(0, size) for size in sizes[player + 1 :])
            box = (*before, slice(old, new), *after)
            if all(part.stop > part.start for part in box):
                yield box

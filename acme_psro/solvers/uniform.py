"""Uniform meta-solver: equal weight on every policy found so far (fictitious play's response)."""

import numpy as np

from acme_psro.meta_strategy import MetaStrategy, check_payoffs


def solve(payoffs: np.ndarray) -> MetaStrategy:
    """Returns the uniform distribution over each player's population.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game; only the sizes matter.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`).
    """
    sizes = check_payoffs(payoffs).shape[1:]
    return MetaStrategy(tuple(np.full(size, 1.0 / size) for size in sizes))

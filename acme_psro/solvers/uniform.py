"""Uniform meta-solver: equal weight on every policy found so far (fictitious play's response)."""

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs
from acme_psro.policies.meta_strategy import ProductStrategy


def solve(payoffs: np.ndarray) -> ProductStrategy:
    """Returns the uniform distribution over each player's population.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game; only the sizes matter.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`).
    """
    sizes = check_payoffs(payoffs).shape[1:]
    return ProductStrategy(tuple(np.full(size, 1.0 / size) for size in sizes))

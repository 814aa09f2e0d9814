"""Uniform meta-solver, with which policy-space response oracles become fictitious play.

Each new policy responds to the equal-weight average of all policies found so far (Brown 1951; Lanctot et al.
2017). A policy that is found again is added again, so that its weight is the share of iterations that found
it.
"""

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs
from acme_psro.policies.meta_strategy import ProductStrategy


def solve(payoffs: np.ndarray) -> ProductStrategy:
    """Returns the uniform distribution over each player's population.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game. Only the sizes of the populations are used.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`).
    """
    sizes = check_payoffs(payoffs).shape[1:]
    return ProductStrategy(tuple(np.full(size, 1.0 / size) for size in sizes))

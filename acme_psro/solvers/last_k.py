"""Meta-solver that is uniform over each player's latest policies.

With k = 1 policy-space response oracles become iterated best responses, each to the latest policy; with k
as large as the population they become fictitious play (`uniform`). Recent policies alone, as in the
opponent pools of self-play systems (Bansal et al. 2018, arXiv:1710.03748), forget how to beat old ones in
games that cycle.
"""

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.solvers.options import check_count


def solve(payoffs: np.ndarray, *, k: int = 5) -> ProductStrategy:
    """Returns the uniform distribution over each player's last k policies, or over all if there are fewer.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game. Only the sizes of the populations are used.
      k: the number of policies, >= 1.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`), or k is below 1.
    """
    sizes = check_payoffs(payoffs).shape[1:]
    check_count("last_k", "k", k)
    marginals = []
    for size in sizes:
        counted = min(k, size)
        marginal = np.zeros(size)
        marginal[size - counted :] = 1.0 / counted
        marginals.append(marginal)
    return ProductStrategy(tuple(marginals))

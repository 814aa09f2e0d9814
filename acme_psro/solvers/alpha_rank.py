"""Meta-solver by alpha-Rank: how often evolution visits each profile (Omidshafiei et al. 2019, 1903.01373).

A profile of policies changes by one player's switch to another policy, at a rate that depends on what the
player gains by it. The stationary distribution of this chain ranks profiles, and is the meta-strategy
(Muller et al. 2020, arXiv:1909.12823). It is a joint distribution, and no equilibrium in general: its
profiles are those of the sink components of the graph of better replies.

Dimensions: `P` players, `n_p` policies of player p, `N` profiles, `E` switches of single players.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs
from acme_psro.meta_game.profiles import joint_of_cells, marginals_of
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from acme_psro.solvers import stationary
from acme_psro.system.cores import one_blas_thread

# Gains below this share of the player's payoff range are rounding errors: the policies tie.
_TIE = 1e-12
# Products with alpha stay finite.
_LARGEST = 1e290


class Switches(NamedTuple):
    """All switches of single players from a profile to another one. Profiles are numbered in row-major order.

    Attributes:
      profiles: the number of profiles, N.
      sources: `[E]` int, the profiles before.
      targets: `[E]` int, the profiles after.
      players: `[E]` int, who switches.
      gains: `[E]`, what the player gains, in utility units; 0 for ties.
    """

    profiles: int
    sources: np.ndarray
    targets: np.ndarray
    players: np.ndarray
    gains: np.ndarray


def solve(
    payoffs: np.ndarray, *, alpha: float = math.inf, population: int = 50, eps: float = 1e-6
) -> JointStrategy:
    """Returns the stationary distribution of alpha-Rank over profiles.

    The default is the limit of infinite alpha, in which only the order of payoffs counts. Its noise eps is
    about the one at which OpenSpiel's `sweep_pi_vs_epsilon`, the alpha-Rank of its PSRO, stops: profiles
    outside sink components have shares of that size. With a finite alpha, the shares are those of
    OpenSpiel's `compute` (if that does not overflow), in the units of the payoffs. Games of one
    population, which OpenSpiel treats differently, are games of two players here.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game.
      alpha: the intensity of selection, above 0, per utility unit; infinity for the limit.
      population: the size of the evolving population, m >= 2; it does not matter if alpha is infinite.
      eps: the noise if alpha is infinite, in (0, 0.5): the rate of switches that lose, relative to 1 - eps
        of those that gain and 1/2 of ties.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`), or an option is out of its range.
      RuntimeError: there are too many profiles for the chain to be solved.
    """
    payoffs = check_payoffs(payoffs)
    if not alpha > 0.0:
        raise ValueError(f"alpha_rank: alpha is {alpha}; give a number above 0, or infinity")
    if population < 2:
        raise ValueError(f"alpha_rank: population is {population}; give 2 or more")
    if not 0.0 < eps < 0.5:
        raise ValueError(f"alpha_rank: eps is {eps}; give a number above 0 and below 0.5")
    switches = switches_of(payoffs)
    rates = log_rates(switches.gains, alpha, population, eps)
    with one_blas_thread():
        shares = stationary.solve(
            stationary.Chain(switches.profiles, switches.sources, switches.targets, rates)
        )
    return joint_of_cells(shares.reshape(payoffs.shape[1:]))


def solve_marginals(
    payoffs: np.ndarray, *, alpha: float = math.inf, population: int = 50, eps: float = 1e-6
) -> ProductStrategy:
    """Returns the players' marginals of alpha-Rank, by which each player draws for itself.

    This is the alpha-Rank of OpenSpiel's PSRO. It takes `solve`'s options and raises its errors.
    """
    return marginals_of(
        solve(payoffs, alpha=alpha, population=population, eps=eps), np.asarray(payoffs).shape[1:]
    )


def switches_of(payoffs: np.ndarray) -> Switches:
    """Returns all switches of single players.

    Args:
      payoffs: float64 `[P, n_1, .., n_P]`, finite.
    """
    shape = payoffs.shape[1:]
    numbers = np.arange(math.prod(shape)).reshape(shape)
    parts = []
    for player, table in enumerate(payoffs):
        size = shape[player]
        # [size, others]: one column for each choice of the other players.
        own = np.moveaxis(table, player, 0).reshape(size, -1)
        ids = np.moveaxis(numbers, player, 0).reshape(size, -1)
        before, after = np.nonzero(~np.eye(size, dtype=bool))
        gains = own[after] - own[before]
        gains[np.abs(gains) <= _TIE * np.ptp(own)] = 0.0
        parts.append((ids[before].ravel(), ids[after].ravel(), np.full(gains.size, player), gains.ravel()))
    sources, targets, players, gains = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Switches(numbers.size, sources, targets, players, gains)


def log_rates(gains: np.ndarray, alpha: float, population: int, eps: float) -> np.ndarray:
    """Returns `[E]`: logarithms of the rates of switches, up to a common factor.

    Args:
      gains: `[E]`, in utility units.
      alpha: see `solve`, as the others.
      population: m.
      eps: the noise if alpha is infinite.
    """
    if math.isinf(alpha):
        return np.log(np.where(gains > 0.0, 1.0 - eps, np.where(gains < 0.0, eps, 0.5)))
    # The probability that a single mutant takes over: (1 - e^-x) / (1 - e^-mx) with x = alpha * gain. For x
    # < 0, e^(m-1)x (1 - e^x) / (1 - e^mx) is the same, and has no large terms.
    size = np.minimum(np.abs(gains), _LARGEST / alpha) * alpha
    tied = size * population < 1e-14
    size = np.where(tied, 1.0, size)
    fixation = np.log(-np.expm1(-size)) - np.log(-np.expm1(-population * size))
    fixation = np.where(gains < 0.0, fixation - (population - 1) * size, fixation)
    return np.where(tied, -math.log(population), fixation)

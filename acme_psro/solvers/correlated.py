"""Meta-solvers for correlated and coarse correlated equilibria, chosen by a criterion.

Correlated equilibria are a polytope. Maximum Gini (Marris et al. 2021, arXiv:2106.09435) chooses its point of
the least sum of squares, maximum entropy (Ortiz et al. 2007) that of the largest entropy, and maximum welfare
one of those with the largest sum of payoffs, of these again the point of maximum Gini. The first two choices
are unique. All three treat players and policies alike, whatever their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.solvers import columns
from acme_psro.solvers.even_distributions import most_even, most_random
from acme_psro.solvers.incentives import Incentives, incentives, prepare, to_joint
from acme_psro.solvers.properties import Concept

# Welfare may fall short of its largest value by this share of the range of welfare.
_EQUAL_WELFARE = 1e-8
# Constraints with less slack than this at one optimum are likely to bind at the others.
_NEARLY_BINDING = 1e-4

# (deviations `[R, n]`, what they may gain `[R]`) -> the distribution `[n]` of a criterion.
Choose = Callable[[Any, np.ndarray], np.ndarray]


def max_gini(
    payoffs: np.ndarray, *, concept: Concept = Concept.CCE, epsilon: float = 0.0, share: float = 0.0
) -> JointStrategy:
    """Returns the equilibrium of maximum Gini impurity, `1 - sum(x ** 2)`.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game.
      concept: `Concept.CCE`, or `Concept.CE`.
      epsilon: what a deviation may gain, in the units of the payoffs.
      share: the same as a share of what the best deviation from uniform play gains, in [0, 1]. Above 0, all
        profiles have weight; 1 gives uniform play.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`), or an option is out of its range.
      RuntimeError: the program was not solved.
    """
    return _chosen(payoffs, most_even, concept, epsilon, share)


def max_entropy(
    payoffs: np.ndarray, *, concept: Concept = Concept.CCE, epsilon: float = 0.0, share: float = 0.0
) -> JointStrategy:
    """Returns the equilibrium of maximum entropy; the arguments are those of `max_gini`.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`), or an option is out of its range.
      RuntimeError: the program was not solved.
    """
    return _chosen(payoffs, most_random, concept, epsilon, share)


def _chosen(
    payoffs: np.ndarray, choose: Choose, concept: Concept, epsilon: float, share: float
) -> JointStrategy:
    """Returns the equilibrium that a criterion chooses; the other arguments are those of `max_gini`."""
    unit = prepare(payoffs)
    found = incentives(unit, concept)
    bounds = _bounds(found, payoffs, epsilon, share)
    return to_joint(choose(found.rows, bounds), unit.shape[1:], found, bounds)


def max_welfare(payoffs: np.ndarray, *, concept: Concept = Concept.CCE) -> JointStrategy:
    """Returns the equilibrium of the largest sum of payoffs; of several ones, that of maximum Gini.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game.
      concept: `Concept.CCE`, or `Concept.CE`.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`).
      RuntimeError: a program was not solved.
    """
    import scipy.sparse

    unit = prepare(payoffs)
    found = incentives(unit, concept)
    bounds = np.zeros(len(found.players))
    # Sums over players need the payoffs as they are; the scale of the sums does not matter.
    welfare = check_payoffs(payoffs).sum(axis=0).ravel()
    spread = float(np.ptp(welfare))
    if spread == 0.0:
        return to_joint(most_even(found.rows, bounds), unit.shape[1:], found, bounds)
    scaled = (welfare - welfare.min()) / spread
    optimum = columns.largest(scaled, found.rows)
    least = float(scaled @ optimum.x) - _EQUAL_WELFARE
    # The entries of x sum to 1, so that `scaled @ x >= least` is a homogeneous constraint.
    rows = scipy.sparse.vstack([(least - scaled)[None], found.rows], format="csr")
    cells = _most_even_of(optimum, rows, np.append(0.0, bounds))
    return to_joint(cells, unit.shape[1:], found, bounds)


def min_epsilon_max_gini(payoffs: np.ndarray, *, concept: Concept = Concept.CCE) -> JointStrategy:
    """Returns the distribution of maximum Gini among those from which deviations lose most.

    The bound on what deviations gain is the smallest for which there is a distribution; it is at most 0, and
    all deviations lose if it is below 0. Payoffs are measured in the range of each player.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game.
      concept: `Concept.CCE`, or `Concept.CE`.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`).
      RuntimeError: a program was not solved.
    """
    unit = prepare(payoffs)
    found = incentives(unit, concept)
    number = found.rows.shape[0]
    if not number:
        return to_joint(most_even(found.rows, np.zeros(0)), unit.shape[1:], found, np.zeros(0))
    optimum = columns.least_bound(found.rows)
    bounds = np.full(number, optimum.bound + _EQUAL_WELFARE)
    return to_joint(_most_even_of(optimum, found.rows, bounds), unit.shape[1:], found, bounds)


def _most_even_of(optimum: columns.Optimum, rows: Any, bounds: np.ndarray) -> np.ndarray:
    """Returns the most even of all optimal distributions `[n]`, which lie in a face of few cells.

    Args:
      optimum: one of them.
      rows: `[R, n]` sparse, the constraints of all.
      bounds: `[R]`.
    """
    face = np.flatnonzero(optimum.face)
    cells = np.zeros(len(optimum.face))
    binding = rows @ optimum.x >= bounds - _NEARLY_BINDING
    cells[face] = most_even(rows.tocsc()[:, face].tocsr(), bounds, binding)
    return cells


def _bounds(found: Incentives, payoffs: np.ndarray, epsilon: float, share: float) -> np.ndarray:
    """Returns `[R]`: what each deviation may gain, in payoffs scaled to [0, 1].

    Raises:
      ValueError: an option is out of its range.
    """
    if not (np.isfinite(epsilon) and epsilon >= 0.0):
        raise ValueError(f"epsilon must not be negative, in the units of the payoffs, not {epsilon}.")
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must lie in [0, 1], not {share}.")
    size = found.rows.shape[1]
    largest = float((found.rows @ np.full(size, 1.0 / size)).max(initial=0.0))
    spreads = np.ptp(np.asarray(payoffs, np.float64).reshape(len(payoffs), -1), axis=1)
    # A player whose payoffs are all equal has no deviation that changes anything.
    spreads = np.where(spreads > 0.0, spreads, 1.0)
    return epsilon / spreads[found.players] + share * largest

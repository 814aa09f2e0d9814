"""Nash meta-solver for two-player general-sum meta-games, by Lemke-Howson paths from every label."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs, unit_payoffs, value
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.solvers import lemke_howson
from acme_psro.solvers.certificates import embed, find_undominated, restrict, share_of_gap, share_of_range
from acme_psro.solvers.options import check_count
from acme_psro.system.cores import one_blas_thread

# The largest regret of an answer, as a share of the payoff range. If it is a larger share of the typical
# payoff gap than this, it is worth the time to look for one without rounding errors.
_ACCEPTED_OF_RANGE = 1e-12
_ACCEPTED_OF_GAP = 1e-6
# Equilibria whose probabilities differ by less are the same one; welfare and entropy that differ by less
# are equal.
_SAME = 1e-8
# Most paths are short. Longer ones are followed only if no short one ends in an equilibrium.
_SHORT = 100
# Pivots in whole numbers, which grow to thousands of bits.
_EXACT_PIVOTS = 1000


def solve(payoffs: np.ndarray, *, max_pivots: int = 10_000) -> ProductStrategy:
    """Returns a Nash equilibrium of a two-player meta-game, exact up to rounding.

    Strictly dominated policies are removed. Then Lemke-Howson paths are followed from every label, by
    lexicographic pivots, so that degenerate games (ties, duplicate policies) end as all others do. Every
    end is checked by its regret, and discarded if it is no equilibrium. If none is left, because payoffs
    span too many orders of magnitude for floating point, the paths are followed in whole numbers, without
    any error.

    A game may have several equilibria. Of those at the ends of paths, which are not all that there are, the
    one of the highest welfare (the sum of the players' payoffs) is returned; among equal ones that of the
    highest entropy, and among these the one that gives most weight to the earliest policies. In a zero-sum
    game every equilibrium has the same welfare; `nash` and `max_entropy_nash` are faster there.

    Args:
      payoffs: `[2, n_1, n_2]`.
      max_pivots: the most pivots of all paths together, after which no further label is tried; a limit on
        time that, unlike one in seconds, gives the same answer on every machine.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`) or do not belong to two players, or `max_pivots`
        is below 1.
      RuntimeError: no path ended in an equilibrium.
    """
    payoffs = check_payoffs(payoffs)
    if len(payoffs) != 2:
        raise ValueError(
            f"meta-solver general_sum_nash takes two players, these payoffs have {len(payoffs)}; use prd, "
            "regret_matching or uniform"
        )
    check_count("general_sum_nash", "max_pivots", max_pivots)
    kept = find_undominated(payoffs)
    # Without the dominated policies, payoffs may have another range.
    game = restrict(payoffs, kept)
    unit = unit_payoffs(game)
    with one_blas_thread():
        found = list(_equilibria(unit, max_pivots, exact=False))
        exact = [each for each in found if share_of_gap(unit, each) <= _ACCEPTED_OF_GAP]
        if not exact:
            exact = list(itertools.islice(_equilibria(unit, _EXACT_PIVOTS, exact=True), 1))
    best = _best_of(exact or found, game)
    return embed(best, kept, payoffs.shape[1:])


def _equilibria(unit: np.ndarray, max_pivots: int, exact: bool) -> Iterator[ProductStrategy]:
    """Yields the equilibria at the ends of the paths from all labels, long ones if there is no short one."""
    left, found_one = max_pivots, False
    for longest in (_SHORT, max_pivots):
        for label in range(sum(unit.shape[1:])):
            if left < 1 or (found_one and longest > _SHORT):
                return
            path = lemke_howson.follow(unit, label, min(longest, left), exact)
            left -= path.pivots
            if path.strategies is None:
                continue
            found = ProductStrategy(path.strategies)
            # In whole numbers the end of a path is an equilibrium, up to the rounding of payoffs.
            if share_of_range(unit, found) <= _ACCEPTED_OF_RANGE:
                found_one = True
                yield found


def _best_of(found: list[ProductStrategy], payoffs: np.ndarray) -> ProductStrategy:
    """Returns the equilibrium that `solve` describes.

    Raises:
      RuntimeError: there is none.
    """
    if not found:
        raise RuntimeError(
            "general_sum_nash found no equilibrium; use the meta-solver regret_matching or prd"
        )
    welfare = np.array([value(payoffs, each).sum() for each in found])
    tolerance = _SAME * max(1.0, float(np.ptp(payoffs.sum(axis=0))), float(np.abs(welfare).max()))
    found = [each for each, sum_ in zip(found, welfare, strict=True) if sum_ >= welfare.max() - tolerance]
    entropies = np.array([sum(map(_entropy, each.marginals)) for each in found])
    found = [each for each, own in zip(found, entropies, strict=True) if own >= entropies.max() - _SAME]
    # Rounded, so that rounding errors do not decide between equilibria that are the same.
    return max(found, key=lambda each: tuple(np.round(np.concatenate(each.marginals) / _SAME)))


def _entropy(marginal: np.ndarray) -> float:
    positive = marginal[marginal > 0.0]
    return float(-(positive * np.log(positive)).sum())

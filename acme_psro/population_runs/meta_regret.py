"""Warnings of meta-strategies that are far from an equilibrium of the meta-game."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs
from acme_psro.policies.meta_strategy import BehaviouralStrategy, JointStrategy, MetaStrategy
from acme_psro.solvers.certificates import regret, share_of_gap, share_of_range
from acme_psro.solvers.properties import Concept, properties_of

# Regrets above these shares are reported. A single large payoff may hide a regret from the first one.
_LARGE_OF_RANGE = 0.01
_LARGE_OF_GAP = 0.1


def describe_large_regret(meta_solver: str, payoffs: np.ndarray, meta_strategy: MetaStrategy) -> str | None:
    """Returns one line about the regret of a meta-strategy, or None if it is small.

    It is also None if the meta-solver does not seek an equilibrium, or if the meta-strategy is one policy for
    each player.

    Args:
      meta_solver: the name of the meta-solver.
      payoffs: the payoff tensor `[P, n_1, .., n_P]`.
      meta_strategy: the meta-solver's answer.
    """
    concept = properties_of(meta_solver).concept
    if concept is Concept.NONE or isinstance(meta_strategy, BehaviouralStrategy):
        return None
    if isinstance(meta_strategy, JointStrategy) and concept is Concept.NASH:
        concept = Concept.CCE
    payoffs = check_payoffs(payoffs)
    of_range = share_of_range(payoffs, meta_strategy, concept)
    of_gap = share_of_gap(payoffs, meta_strategy, concept)
    if of_range <= _LARGE_OF_RANGE and of_gap <= _LARGE_OF_GAP:
        return None
    largest = float(regret(payoffs, meta_strategy, concept).max())
    return (
        f"the answer of meta-solver {meta_solver} is no {concept.value} of the meta-game: a player gains "
        f"{largest:.3g} by one of its own policies, {of_range:.2%} of the payoff range and {of_gap:.2%} of "
        "the typical payoff gap"
    )


class RegretWarning:
    """A warning of large regrets, given once: the column `meta_regret` has the regret of every iteration.

    Args:
      meta_solver: the name of the meta-solver.
      warn: called with one line for the first large regret.
    """

    def __init__(self, meta_solver: str, warn: Callable[[str], None]) -> None:
        self._meta_solver = meta_solver
        self._warn = warn
        self._is_given = False

    def check(self, iteration: int, payoffs: np.ndarray, meta_strategy: MetaStrategy) -> None:
        """Warns if the regret of a meta-strategy is large and no warning was given before."""
        if self._is_given:
            return
        text = describe_large_regret(self._meta_solver, payoffs, meta_strategy)
        if text is not None:
            self._is_given = True
            self._warn(f"iteration {iteration}: {text}; metrics.csv has meta_regret of every iteration.")

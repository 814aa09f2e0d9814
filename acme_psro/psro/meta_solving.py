"""PSRO: meta-strategies by a meta-solver from payoffs (Lanctot et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from acme_psro.meta_game.base import MetaGame, PayoffsT, PolicyT
from acme_psro.policies.meta_strategy import MetaStrategy
from acme_psro.psro.loop import Loop, Question, Solution

# Payoff tensor `[P, n_1, .., n_P]` -> meta-strategy.
SolveMetaGame = Callable[[np.ndarray], MetaStrategy]


def make_loop(meta_game: MetaGame[PolicyT, PayoffsT], solve: SolveMetaGame) -> Loop[PolicyT, PayoffsT]:
    """Returns the loop whose meta-strategy is a meta-solver's answer to the payoffs.

    Args:
      meta_game: knows payoffs.
      solve: the meta-solver, see `acme_psro.solvers`.
    """

    def solve_payoffs(question: Question[PolicyT, PayoffsT]) -> Solution:
        return Solution(solve(meta_game.tensor(question.payoffs)))

    return Loop(solve_payoffs)

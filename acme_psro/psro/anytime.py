"""Anytime double oracle: mixtures that are least exploitable by anyone, not by the populations alone.

PSRO's meta-strategy is an equilibrium among the policies found so far, and an opponent from outside may gain
more against it than against the one before. Here each player's mixture solves the game in which that player
is restricted to its population and the opponent is free (McAleer et al. 2022, "Anytime PSRO for two-player
zero-sum games"), so exploitability never rises as populations grow. The next response answers the opponent of
that game: if it gains nothing, the mixture is part of an equilibrium of the whole game.
"""

from __future__ import annotations

import numpy as np

from acme_psro.evaluation.least_exploitable import LeastExploitable, least_exploitable
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask
from acme_psro.policies.tabular import Policy, Population
from acme_psro.psro.loop import Loop, PSROState, Question, Solution
from acme_psro.psro.outside import split_table, tasks_against


class _Solver:
    """Solves populations, and remembers the last answer: the tasks of an iteration follow from it too."""

    def __init__(self, tree: GameTree) -> None:
        self._tree = tree
        self._last: tuple[tuple[Population, ...], LeastExploitable] | None = None

    def __call__(self, populations: tuple[Population, ...]) -> LeastExploitable:
        # A resumed run solves the programs of its last iteration once more, with the same result.
        if self._last is None or self._last[0] is not populations:
            self._last = populations, least_exploitable(self._tree, populations)
        return self._last[1]


def make_loop(tree: GameTree) -> Loop[Policy, np.ndarray]:
    """Returns the loop of anytime double oracle in a compiled two-player zero-sum game."""
    answer = _Solver(tree)

    def solve(question: Question[Policy, np.ndarray]) -> Solution:
        return Solution(answer(question.populations).meta_strategy)

    def tasks(state: PSROState[Policy, np.ndarray]) -> list[BestResponseTask[Policy, np.ndarray]]:
        # A player responds to its free opponent, and its own policy is its mixture. Whole policies are mixed,
        # so a response should also be good off the path against what others may draw.
        opponents = answer(state.populations).free_opponents
        return [
            tasks_against(tree, split_table(tree, opponents[player]), state.populations)[player]
            for player in range(tree.num_players)
        ]

    return Loop(solve, tasks)

"""Extensive-form double oracle, XDO (McAleer et al. 2021, arXiv:2103.06426).

PSRO mixes whole policies. XDO mixes their actions: in its restricted game a player may take, at every
information state, each action that one of its responses takes there. An equilibrium of the restricted game is
one behavioural policy a player, and the next responses are trained against it. The number of iterations is at
most that of information states, whereas PSRO may need one for every pure policy.

Restricted games are solved with the rules of the game, which exact payoffs use too; only the responses are
learned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from acme_psro.games.compiled import CompiledGame
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.base import PolicyT
from acme_psro.oracles.base import BestResponseTask, Response
from acme_psro.policies.meta_strategy import BehaviouralStrategy
from acme_psro.policies.tabular import Policy, make_policy
from acme_psro.psro.loop import Loop, PSROState, Question, Solution
from acme_psro.psro.outside import split_table, tasks_against
from acme_psro.restricted_games.certificate import Solution as RestrictedSolution
from acme_psro.restricted_games.game import ActionCounts, allowed_actions, count_allowed
from acme_psro.restricted_games.solve import solve

# Columns of metrics: the gap of the solution inside the restricted game, if a linear program found it (1) or
# another method (0), the information states that players can reach in it and the actions allowed there,
# summed over players, and these actions as a share of all legal actions of the game.
FIGURES = (
    "restricted_gap",
    "restricted_by_program",
    "restricted_infosets",
    "restricted_actions",
    "restricted_share",
)

# Populations begin with a uniform policy, which would allow every action.
FIRST_RESPONSE = 1
# Share of uniform play in the policies that tell a response what to do off the opponents' path. With 0.02 to
# 0.5 exact XDO takes 7 to 10 iterations in Leduc poker and 10 to 13 in Liar's Dice with four sides. With the
# average of past responses it takes 8 and 13, and with six sides more than 60 instead of about 20.
_TREMBLE = 0.3
# Restricted games are solved no more exactly than to this share of what the responses gained: early ones are
# far from the game itself (McAleer et al. 2021, section 4).
_SHARE_OF_GAIN = 0.05


def make_loop(tree: GameTree, tolerance: float) -> Loop[Policy, np.ndarray]:
    """Returns the loop of XDO in a compiled game.

    Args:
      tree: the compiled game.
      tolerance: restricted games are solved no more exactly than to a gap of half of this, in utility units.
    """

    def solve_populations(question: Question[Policy, np.ndarray]) -> Solution:
        if question.before is None:
            # The first responses answer uniform play, as in PSRO.
            return Solution(split_table(tree, tree.uniform_policy()), dict.fromkeys(FIGURES, math.nan))
        assert isinstance(question.before, BehaviouralStrategy)
        allowed = allowed_actions(tree, question.populations, first=FIRST_RESPONSE)
        gap = needed_gap(question.responses, tolerance)
        answer = solve(tree, allowed, gap, initial=np.concatenate(question.before.tables))
        return Solution(
            split_table(tree, answer.table), figures_of(tree, count_allowed(tree, allowed), answer)
        )

    def tasks(state: PSROState[Policy, np.ndarray]) -> list[BestResponseTask[Policy, np.ndarray]]:
        assert isinstance(state.meta_strategy, BehaviouralStrategy)
        strategy = state.meta_strategy
        trembling = tuple(
            (make_policy(tree, player, tremble(tree, player, table)),)
            for player, table in enumerate(strategy.tables)
        )
        return tasks_against(tree, strategy, trembling)

    return Loop(solve_populations, tasks, takes_others=True)


def figures_of(compiled: CompiledGame, counts: ActionCounts, answer: RestrictedSolution) -> dict[str, float]:
    """Returns the columns of `FIGURES`."""
    actions = float(counts.actions.sum())
    values = (
        answer.gap,
        float(answer.method.startswith("linear program")),
        float(counts.infosets.sum()),
        actions,
        actions / float(compiled.legal_actions.sum()),
    )
    return dict(zip(FIGURES, values, strict=True))


def tremble(compiled: CompiledGame, player: int, table: np.ndarray) -> np.ndarray:
    """Returns a player's policy `[I_p, A]` with a share of uniform play at every information state."""
    uniform: np.ndarray = compiled.uniform_policy()[compiled.rows_of(player)]
    return (1 - _TREMBLE) * table + _TREMBLE * uniform


def needed_gap(responses: Sequence[Response[PolicyT]], tolerance: float) -> float:
    """Returns how exactly a restricted game is solved, in utility units.

    Args:
      responses: those that have just joined the populations.
      tolerance: the run ends once no player gains more than this.
    """
    return max(_SHARE_OF_GAIN * max((each.gain for each in responses), default=0.0), tolerance / 2)

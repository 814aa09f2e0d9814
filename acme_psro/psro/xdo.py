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

import numpy as np

from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask, Response
from acme_psro.policies.meta_strategy import BehaviouralStrategy
from acme_psro.policies.tabular import Policy, make_policy
from acme_psro.psro.loop import Loop, PSROState, Question, Solution
from acme_psro.psro.outside import split_table, tasks_against
from acme_psro.restricted_games.certificate import Solution as RestrictedSolution
from acme_psro.restricted_games.game import allowed_actions, count_allowed
from acme_psro.restricted_games.solve import solve

# Columns of metrics: the gap of the solution inside the restricted game, if a linear program found it (1) or
# regret minimisation (0), the information states that players can reach in it and the actions allowed there,
# summed over players, and these actions as a share of all legal actions of the game.
FIGURES = (
    "restricted_gap",
    "restricted_by_program",
    "restricted_infosets",
    "restricted_actions",
    "restricted_share",
)

# Populations begin with a uniform policy, which would allow every action.
_FIRST_RESPONSE = 1
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
        allowed = allowed_actions(tree, question.populations, first=_FIRST_RESPONSE)
        gap = max(_SHARE_OF_GAIN * _largest_gain(question.responses), tolerance / 2)
        answer = solve(tree, allowed, gap, initial=np.concatenate(question.before.tables))
        return Solution(split_table(tree, answer.table), _figures(tree, allowed, answer))

    def tasks(state: PSROState[Policy, np.ndarray]) -> list[BestResponseTask[Policy, np.ndarray]]:
        assert isinstance(state.meta_strategy, BehaviouralStrategy)
        strategy = state.meta_strategy
        trembling = tuple((policy,) for policy in _tremble(tree, strategy))
        return tasks_against(tree, strategy, trembling)

    return Loop(solve_populations, tasks, takes_others=True)


def _figures(tree: GameTree, allowed: np.ndarray, answer: RestrictedSolution) -> dict[str, float]:
    """Returns the columns of `FIGURES`."""
    counts = count_allowed(tree, allowed)
    actions = float(counts.actions.sum())
    values = (
        answer.gap,
        float(answer.method.startswith("linear program")),
        float(counts.infosets.sum()),
        actions,
        actions / float(tree.legal_actions.sum()),
    )
    return dict(zip(FIGURES, values, strict=True))


def _tremble(tree: GameTree, strategy: BehaviouralStrategy) -> list[Policy]:
    """Returns the policies with a share of uniform play at every information state."""
    uniform = tree.uniform_policy()
    return [
        make_policy(tree, player, (1 - _TREMBLE) * table + _TREMBLE * uniform[tree.infosets_of(player)])
        for player, table in enumerate(strategy.tables)
    ]


def _largest_gain(responses: tuple[Response[Policy], ...]) -> float:
    return max((response.gain for response in responses), default=0.0)

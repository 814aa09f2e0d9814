"""Exact best responses by dynamic programming."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask, Oracle, Response
from acme_psro.policies.tabular import make_policy, mixture_plan


def make_oracle(tree: GameTree, tolerance: float = 1e-9) -> Oracle:
    """An oracle of exact best responses on a compiled game.

    Among best responses it takes one that answers the others' average policy best, which settles what to
    do where their meta-strategy never leads. Left to the first legal action, Leduc poker needs half as many
    iterations again.

    Args:
      tolerance: a player that gains no more than this gets no new policy.
    """

    def respond(key: np.ndarray, tasks: Sequence[BestResponseTask]) -> list[Response]:
        del key
        return [_respond(tree, task, tolerance) for task in tasks]

    return respond


def _respond(tree: GameTree, task: BestResponseTask, tolerance: float) -> Response:
    plan = mixture_plan(tree, task.populations, task.meta_strategy.marginals)
    average = mixture_plan(tree, task.populations, [np.full(len(p), 1 / len(p)) for p in task.populations])
    best = traverse.best_response(tree, plan, task.player, otherwise=average)
    gain = best.value - traverse.expected_returns(tree, plan)[task.player]
    if gain <= tolerance:
        return Response(None, max(gain, 0.0), max(gain, 0.0))
    table = best.table[tree.infosets_of(task.player)]
    return Response(make_policy(tree, task.player, table), gain, gain)

"""Exact best responses by dynamic programming."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acme_psro.evaluation import deviations
from acme_psro.evaluation.deviations import Deviation
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask, Oracle, Response
from acme_psro.policies.tabular import Policy, average_plan, make_policy


def make_oracle(tree: GameTree, tolerance: float = 1e-9) -> Oracle[Policy, np.ndarray]:
    """Returns an oracle of exact best responses on a compiled game.

    Among all best responses it takes one that also answers the others' average policy best. This settles
    the actions at information states that the others' meta-strategy never reaches. If the first legal action
    were taken there, PSRO in Leduc poker would need half as many iterations again.

    Args:
      tree: the compiled game.
      tolerance: a player that gains no more than this gets no new policy, in utility units.
    """

    def respond(
        key: np.ndarray, tasks: Sequence[BestResponseTask[Policy, np.ndarray]]
    ) -> list[Response[Policy]]:
        del key
        return [_respond(tree, task, tolerance) for task in tasks]

    return respond


def deviation_of(tree: GameTree, task: BestResponseTask[Policy, np.ndarray]) -> Deviation:
    """Returns the alternatives of a task's player to its part of the meta-strategy."""
    return deviations.from_meta_strategy(
        tree, task.populations, task.meta_strategy, task.player, task.payoffs
    )


def _respond(
    tree: GameTree, task: BestResponseTask[Policy, np.ndarray], tolerance: float
) -> Response[Policy]:
    deviation = deviation_of(tree, task)
    average = average_plan(tree, task.populations)
    best = deviations.best_response(tree, deviation, otherwise=average)
    gain = deviations.best_gain(tree, deviation, best.value)
    # A policy without a gain would be redundant, and nearly duplicate policies make the meta-game degenerate.
    if gain <= tolerance:
        return Response(None, gain, gain)
    # The traversal returns rows for all players; a policy holds those of its own player only.
    table = best.table[tree.infosets_of(task.player)]
    return Response(make_policy(tree, task.player, table), gain, gain)

"""Tasks against policies that are not in the populations, such as an equilibrium of a restricted game."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask
from acme_psro.policies.meta_strategy import BehaviouralStrategy, ProductStrategy
from acme_psro.policies.tabular import Policy, Population, make_policy


def task_against(
    tree: GameTree, player: int, strategy: BehaviouralStrategy, beside: Sequence[Population]
) -> BestResponseTask[Policy, np.ndarray]:
    """Returns a player's task: a best response to policies from outside of the populations.

    Args:
      tree: the compiled game.
      player: the player who responds. Its gain is measured over its own policy in the strategy.
      strategy: the policies of all players.
      beside: for each player, policies that are not played. Oracles also look at the average of a task's
        policies, to act sensibly at information states off the opponents' path; these are part of it.
    """
    populations = tuple(
        (make_policy(tree, each, table), *others)
        for each, (table, others) in enumerate(zip(strategy.tables, beside, strict=True))
    )
    first = ProductStrategy(tuple(np.eye(len(population))[0] for population in populations))
    return BestResponseTask(player, populations, first)


def split_table(tree: GameTree, table: np.ndarray) -> BehaviouralStrategy:
    """Returns the strategy in a table `[I, A]` of all players' policies."""
    return BehaviouralStrategy(tuple(table[tree.infosets_of(player)] for player in range(tree.num_players)))

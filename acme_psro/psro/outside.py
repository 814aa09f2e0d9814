"""Tasks against policies that are not in the populations, such as an equilibrium of a restricted game."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acme_psro.games.compiled import CompiledGame
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.oracles.base import BestResponseTask
from acme_psro.policies.meta_strategy import BehaviouralStrategy, ProductStrategy
from acme_psro.policies.tabular import Policy, Population, make_policy


def tasks_against(
    tree: GameTree, strategy: BehaviouralStrategy, beside: Sequence[Population]
) -> list[BestResponseTask[Policy, np.ndarray]]:
    """Returns a task for every player: a best response to policies from outside of the populations.

    Args:
      tree: the compiled game.
      strategy: the policies of all players. A player's gain is measured over its own one.
      beside: for each player, policies that are not played. Oracles also look at the average of a task's
        policies, to act sensibly at information states off the opponents' path; these are part of it.
    """
    populations = tuple(
        (make_policy(tree, player, table), *others)
        for player, (table, others) in enumerate(zip(strategy.tables, beside, strict=True))
    )
    return pure_tasks(populations)


def pure_tasks(
    populations: tuple[tuple[PolicyT, ...], ...], payoffs: PayoffsT | None = None
) -> list[BestResponseTask[PolicyT, PayoffsT]]:
    """Returns a task for every player: a best response to the first policies of populations.

    Args:
      populations: one a player.
      payoffs: their payoffs; None if the oracle does not need them.
    """
    first = ProductStrategy(tuple(np.eye(len(population))[0] for population in populations))
    return [BestResponseTask(player, populations, first, payoffs) for player in range(len(populations))]


def split_table(compiled: CompiledGame, table: np.ndarray) -> BehaviouralStrategy:
    """Returns the strategy in a table `[I, A]` of all players' policies."""
    return BehaviouralStrategy(
        tuple(table[compiled.rows_of(player)] for player in range(compiled.num_players))
    )

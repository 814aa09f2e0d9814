"""Deviations of one player from a meta-strategy on a compiled game: what it meets, and what it gains.

Dimensions: `T` terminal nodes, `n_p` policies of player p.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.evaluation.coordinated import others_reach
from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.meta_game import profiles
from acme_psro.meta_game.payoffs import value
from acme_psro.policies.meta_strategy import JointStrategy, MetaStrategy
from acme_psro.policies.tabular import Policy, Population, meta_strategy_plan, terminal_reach


class Deviation(NamedTuple):
    """One player's alternatives to its part of a meta-strategy.

    Attributes:
      player: the player who may deviate.
      others: `[T]`, the others' contribution to the probability of reaching each terminal node.
      value: the player's expected return if it does not deviate, in utility units.
    """

    player: int
    others: np.ndarray
    value: float


def from_plan(tree: GameTree, plan: np.ndarray, player: int) -> Deviation:
    """Returns a player's deviation if all play independently, by the realisation plan `[S]`."""
    own = float(traverse.expected_returns(tree, plan)[player])
    return Deviation(player, traverse.others_reach(tree, plan, player), own)


def from_meta_strategy(
    tree: GameTree,
    populations: Sequence[Population],
    meta_strategy: MetaStrategy,
    player: int,
    payoffs: np.ndarray | None = None,
) -> Deviation:
    """Returns a player's deviation from a meta-strategy of any kind.

    Args:
      tree: the compiled game.
      populations: one a player.
      meta_strategy: how all play.
      player: the player who may deviate.
      payoffs: `[P, n_1, .., n_P]`, exact payoffs of the populations, which save time with a joint
        distribution; None if they are not at hand.
    """
    if not isinstance(meta_strategy, JointStrategy):
        return from_plan(tree, meta_strategy_plan(tree, populations, meta_strategy), player)
    others = others_reach(tree, populations, meta_strategy, player, tree.terminal_nodes)
    if payoffs is not None:
        return Deviation(player, others, float(value(payoffs, meta_strategy)[player]))
    return Deviation(player, others, _joint_value(tree, populations, meta_strategy, player))


def best_response(
    tree: GameTree, deviation: Deviation, otherwise: np.ndarray | None = None
) -> traverse.BestResponse:
    """Returns the best deviation, see `acme_psro.games.traverse.best_response_to`."""
    return traverse.best_response_to(tree, deviation.others, deviation.player, otherwise)


def best_gain(tree: GameTree, deviation: Deviation, best_value: float | None = None) -> float:
    """Returns the gain of the best deviation, in utility units; never below 0.

    Args:
      tree: the compiled game.
      deviation: the player's alternatives.
      best_value: the best deviation's expected return, if it is known already.
    """
    best = best_value
    if best is None:
        (best,) = traverse.best_values(tree, deviation.others[None], deviation.player).tolist()
    # Following the meta-strategy gains 0; rounding may say otherwise by one unit in the last place.
    return max(best - deviation.value, 0.0)


def gains(tree: GameTree, deviation: Deviation, policies: Sequence[Policy]) -> list[float]:
    """Returns the gains of the player's policies over its part, in utility units; they may be negative."""
    # One policy at a time: each row holds all ends of the game, and there may be many policies.
    player, others = deviation.player, deviation.others
    return [expected_return(tree, player, policy, others) - deviation.value for policy in policies]


def expected_return(tree: GameTree, player: int, policy: Policy, others: np.ndarray) -> float:
    """Returns a player's expected return by a policy, in utility units.

    Args:
      tree: the compiled game.
      player: the player.
      policy: one of the player's policies.
      others: `[T]`, the others' contribution to the probability of reaching each terminal node.
    """
    (own,) = terminal_reach(tree, player, (policy,))
    return float((tree.terminal_returns @ (own * others))[player])


def _joint_value(
    tree: GameTree, populations: Sequence[Population], joint: JointStrategy, player: int
) -> float:
    """Returns a player's expected return if all play by the joint distribution, in utility units."""
    total = 0.0
    for policy, weight, told in profiles.recommendations(joint, player):
        others = others_reach(tree, populations, told, player, tree.terminal_nodes)
        total += weight * expected_return(tree, player, populations[player][policy], others)
    return total

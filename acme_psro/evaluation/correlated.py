"""Exact evaluation of joint distributions on compiled games: CCE and CE gaps.

Players are offered the joint distribution by a mediator, who draws a profile and tells every player its own
policy alone. A coarse correlated equilibrium (CCE; Moulin & Vial 1978) leaves no player a gain if it declines
before it is told, a correlated equilibrium (CE; Aumann 1974) none if it declines after it was told. Players
may deviate to all policies of the game, not to those of the populations alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.evaluation import coordinated, deviations
from acme_psro.evaluation.deviations import Deviation
from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.meta_game import profiles
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.policies.tabular import Population

# Numbers that arrays of the reaches of ends may hold.
_MOST_NUMBERS = 20_000_000


class Gaps(NamedTuple):
    """Exact figures of a joint distribution, in the game's utility units.

    Attributes:
      expected_returns: `[P]`, when all follow their recommendations.
      cce_gains: `[P]`, >= 0, the gain of a best response to the others' joint draw.
      ce_gains: `[P]`, >= 0, the gain of best responses to each recommendation, weighed by its probability. It
        is at least the gain before it.
    """

    expected_returns: np.ndarray
    cce_gains: np.ndarray
    ce_gains: np.ndarray


def gaps(
    tree: GameTree,
    populations: Sequence[Population],
    joint: JointStrategy,
    payoffs: np.ndarray | None = None,
) -> Gaps:
    """Evaluates a joint distribution over profiles of the populations exactly.

    The sums of gains over players are the gaps of OpenSpiel's `corr_dist`.

    Args:
      tree: the compiled game.
      populations: one a player.
      joint: a distribution over profiles of them.
      payoffs: `[P, n_1, .., n_P]`, their exact payoffs, which save time; None if they are not at hand.
    """
    coarse = _deviations(tree, populations, joint, payoffs)
    returns = np.array([each.value for each in coarse])
    return Gaps(returns, _best_gains(tree, coarse), ce_gains(tree, populations, joint, payoffs))


def cce_gains(
    tree: GameTree,
    populations: Sequence[Population],
    joint: JointStrategy,
    payoffs: np.ndarray | None = None,
) -> np.ndarray:
    """Returns `[P]`: `Gaps.cce_gains` alone; the arguments are those of `gaps`."""
    return _best_gains(tree, _deviations(tree, populations, joint, payoffs))


def ce_gains(
    tree: GameTree,
    populations: Sequence[Population],
    joint: JointStrategy,
    payoffs: np.ndarray | None = None,
) -> np.ndarray:
    """Returns `[P]`: `Gaps.ce_gains` alone; the arguments are those of `gaps`."""
    found = [
        recommendation_gaps(tree, populations, joint, player, payoffs) for player in range(tree.num_players)
    ]
    return np.array([sum(each.gap for each in own) for own in found])


class RecommendationGap(NamedTuple):
    """Gain of a player after one recommendation.

    Attributes:
      policy: the policy that is recommended.
      weight: the probability of the recommendation.
      gap: the gain of a best response to it, times its probability, in utility units.
    """

    policy: int
    weight: float
    gap: float


def recommendation_gaps(
    tree: GameTree,
    populations: Sequence[Population],
    joint: JointStrategy,
    player: int,
    payoffs: np.ndarray | None = None,
) -> list[RecommendationGap]:
    """Returns a player's gap after each policy that may be recommended to it; they sum to its `ce_gains`.

    The arguments are those of `gaps`, and the player.
    """
    sizes = [len(population) for population in populations]
    cells = np.moveaxis(profiles.cell_probabilities(joint, sizes), player, 0)
    shares = cells.reshape(len(cells), -1).sum(axis=1)
    policies = np.flatnonzero(shares > 0.0)
    weights = shares[policies]
    # draws[k]: how the others are drawn, given recommendation k.
    draws = cells[policies] / weights.reshape(-1, *(1 for _ in sizes[1:]))
    earned: list[float] = []
    if payoffs is not None:
        table = np.moveaxis(payoffs[player], player, 0)[policies]
        earned = (table * draws).sum(axis=tuple(range(1, draws.ndim))).tolist()
    best: list[float] = []
    at_once = max(1, _MOST_NUMBERS // len(tree.terminal_nodes))
    for start in range(0, len(draws), at_once):
        some = draws[start : start + at_once]
        others = coordinated.reach_by_draws(tree, populations, some, player, tree.terminal_nodes)
        best += traverse.best_values(tree, others, player).tolist()
        if payoffs is None:
            own = [populations[player][policy] for policy in policies[start : start + at_once]]
            earned += [
                deviations.expected_return(tree, player, *each) for each in zip(own, others, strict=True)
            ]
    # Following gains 0; rounding may say otherwise by one unit in the last place.
    gains = weights * np.maximum(np.array(best) - earned, 0.0)
    return [
        RecommendationGap(*each)
        for each in zip(policies.tolist(), weights.tolist(), gains.tolist(), strict=True)
    ]


def _deviations(
    tree: GameTree, populations: Sequence[Population], joint: JointStrategy, payoffs: np.ndarray | None
) -> list[Deviation]:
    """Returns each player's deviation before it is told its recommendation."""
    return [
        deviations.from_meta_strategy(tree, populations, joint, player, payoffs)
        for player in range(tree.num_players)
    ]


def _best_gains(tree: GameTree, found: Sequence[Deviation]) -> np.ndarray:
    return np.array([deviations.best_gain(tree, each) for each in found])

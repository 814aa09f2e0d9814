"""Exact evaluation of mixtures on compiled games: expected returns, gains of best responses, NashConv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.policies.meta_strategy import MetaStrategy
from acme_psro.policies.tabular import Policy, Population, meta_strategy_plan, replace


class Evaluation(NamedTuple):
    """Exact figures of a mixture, in the game's utility units.

    Attributes:
      expected_returns: `[P]`, when all play the mixture.
      per_player_gain: `[P]`, the gain of an exact best response over the mixture; never below 0.
    """

    expected_returns: np.ndarray
    per_player_gain: np.ndarray

    @property
    def nash_conv(self) -> float:
        """Returns the sum of the gains."""
        return float(self.per_player_gain.sum())

    @property
    def exploitability(self) -> float:
        """Returns NashConv divided by the number of players, as in OpenSpiel."""
        return self.nash_conv / len(self.per_player_gain)


def evaluate_mixture(
    tree: GameTree, populations: Sequence[Population], meta_strategy: MetaStrategy
) -> Evaluation:
    """Evaluates the mixture of the populations exactly.

    Raises:
      ValueError: the meta-strategy is a joint distribution, not a product of marginals.
    """
    plan = meta_strategy_plan(tree, populations, meta_strategy)
    # A best response never loses, but rounding may leave a gain just below 0 at an equilibrium.
    gains = np.maximum(traverse.gains(tree, plan), 0.0)
    return Evaluation(traverse.expected_returns(tree, plan), gains)


def best_response_gain(
    tree: GameTree, plan: np.ndarray, player: int, best_value: float | None = None
) -> float:
    """Returns the gain of an exact best response over the player's part of a plan; never below 0.

    Args:
      tree: the compiled game.
      plan: `[S]`, the realisation plan of all players' mixtures.
      player: the player who responds.
      best_value: the best response's expected return, if it is known already.
    """
    value = traverse.best_response(tree, plan, player).value if best_value is None else best_value
    # A best response is never worse than the plan; rounding may say so by one unit in the last place.
    return max(float(value - traverse.expected_returns(tree, plan)[player]), 0.0)


def response_gains(tree: GameTree, plan: np.ndarray, player: int, responses: Sequence[Policy]) -> list[float]:
    """Returns each response's gain over the player's part of a plan, in utility units; it may be negative.

    Args:
      tree: the compiled game.
      plan: `[S]`, the realisation plan of all players' mixtures.
      player: the player who responds.
      responses: its policies against the others' part of the plan.
    """
    # Plans are made one at a time: each holds every sequence of the game, and there may be many responses.
    own = float(traverse.expected_returns(tree, plan)[player])
    plans = (replace(tree, plan, player, response) for response in responses)
    return [float(traverse.expected_returns(tree, each)[player]) - own for each in plans]

"""Exact evaluation of mixtures on compiled games: expected returns, gains of best responses, NashConv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.policies.meta_strategy import MetaStrategy
from acme_psro.policies.tabular import Population, meta_strategy_plan


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

"""Exact evaluation of mixtures on compiled games: expected returns, gains of best responses, NashConv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.tabular import Population, mixture_plan


class Evaluation(NamedTuple):
    """Exact figures of a mixture, in the game's utility units.

    Attributes:
      expected_returns: `[P]`.
      per_player_gain: `[P]`, what a best response gains over the mixture; never below 0.
    """

    expected_returns: np.ndarray
    per_player_gain: np.ndarray

    @property
    def nash_conv(self) -> float:
        """The sum of the gains."""
        return float(self.per_player_gain.sum())

    @property
    def exploitability(self) -> float:
        """NashConv divided by the number of players, as in OpenSpiel."""
        return self.nash_conv / len(self.per_player_gain)


def evaluate_mixture(
    tree: GameTree, populations: Sequence[Population], meta_strategy: ProductStrategy
) -> Evaluation:
    """Evaluates the mixture of the populations exactly."""
    plan = mixture_plan(tree, populations, meta_strategy.marginals)
    gains = np.maximum(traverse.gains(tree, plan), 0.0)
    return Evaluation(traverse.expected_returns(tree, plan), gains)

"""Rectified PSRO, PSRO_rN (Balduzzi et al. 2019, arXiv:1901.08106): niches for different policies.

Every policy with weight in the equilibrium of the meta-game gets a response of its own, which is trained only
against those policies of the other player that it beats ("amplify strengths, ignore weaknesses"). Populations
become more diverse, and grow by several policies in an iteration. Unlike PSRO, the loop may stop short of an
equilibrium: McAleer et al. (2020, arXiv:2006.08555) give a game in which it never finds the missing policy.
"""

from __future__ import annotations

import numpy as np

from acme_psro.meta_game.base import MetaGame
from acme_psro.meta_game.payoffs import value
from acme_psro.oracles.base import BestResponseTask
from acme_psro.policies.meta_strategy import ProductStrategy, require_product
from acme_psro.policies.tabular import Policy
from acme_psro.psro import meta_solving
from acme_psro.psro.base import Loop, PSROState
from acme_psro.psro.meta_solving import SolveMetaGame

# Policies of a smaller weight get no responses: a solver's rounding leaves such ones.
_LEAST_WEIGHT = 1e-6


def make_loop(meta_game: MetaGame[Policy, np.ndarray], solve: SolveMetaGame) -> Loop[Policy, np.ndarray]:
    """Returns the loop in a two-player zero-sum game.

    Args:
      meta_game: knows payoffs.
      solve: the meta-solver, which returns marginals.
    """

    def tasks(state: PSROState[Policy, np.ndarray]) -> list[BestResponseTask[Policy, np.ndarray]]:
        strategy = require_product(state.meta_strategy)
        payoffs = meta_game.tensor(state.payoffs)
        values = value(payoffs, strategy)
        found = []
        for player, own in enumerate(strategy.marginals):
            others = strategy.marginals[1 - player]
            # Rows are the player's policies, columns the other player's.
            earned = payoffs[player] if player == 0 else payoffs[player].T
            for policy in np.flatnonzero(own >= _LEAST_WEIGHT):
                beaten = rectified(earned[policy] - values[player], others)
                alone = np.eye(len(own))[policy]
                marginals = (alone, beaten) if player == 0 else (beaten, alone)
                opponents = ProductStrategy(marginals)
                weight = float(own[policy])
                found.append(BestResponseTask(player, state.populations, opponents, state.payoffs, weight))
        return found

    return Loop(meta_solving.make_loop(meta_game, solve).solve, tasks)


def rectified(advantage: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns `[n]`: the weights of the opponents that are beaten, in proportion to the advantage over them.

    If none is beaten, they are the weights themselves, so that the policy's niche is the whole mixture.

    Args:
      advantage: `[n]`, what is earned against each opponent beyond the value of the game.
      weights: `[n]`, the opponents' weights in the meta-strategy.
    """
    beaten: np.ndarray = weights * np.maximum(advantage, 0.0)
    total = beaten.sum()
    return beaten / total if total > 0.0 else weights

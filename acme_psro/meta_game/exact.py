"""Exact payoffs: what profiles of policies earn, summed over every end of the game."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acme_psro.games.tree import GameTree
from acme_psro.meta_game.payoffs import extend_payoffs, missing_boxes
from acme_psro.policies.tabular import Population, terminal_reach


def exact_payoffs(tree: GameTree, populations: Sequence[Population], payoffs: np.ndarray) -> np.ndarray:
    """The payoff tensor `[P, n_1, .., n_P]` of the populations, its new cells filled exactly.

    Args:
      payoffs: the tensor of smaller populations, all of it known.
    """
    sizes = [len(population) for population in populations]
    filled = extend_payoffs(payoffs, sizes)
    reaches = [terminal_reach(tree, p, population) for p, population in enumerate(populations)]
    for box in missing_boxes(payoffs.shape[1:], sizes):
        parts = [reach[part] for reach, part in zip(reaches, box, strict=True)]
        cells = (slice(None), *box)
        filled[cells] = _payoffs_of(tree.terminal_returns, parts)
    return filled


def _payoffs_of(returns: np.ndarray, reaches: Sequence[np.ndarray]) -> np.ndarray:
    """`[P, n_1, .., n_P]` from returns `[P, T]` and reaches `[n_q, T]`.

    The longest axis goes into one matrix product; the others, short where a population has just grown,
    are looped over.
    """
    longest = max(range(len(reaches)), key=lambda player: len(reaches[player]))

    def contract(weighted: np.ndarray, player: int) -> np.ndarray:
        if player == len(reaches):
            return weighted @ reaches[longest].T
        if player == longest:
            return contract(weighted, player + 1)
        return np.stack([contract(weighted * row, player + 1) for row in reaches[player]], axis=1)

    return np.moveaxis(contract(returns, 0), -1, 1 + longest)

"""Symmetric games: two-player zero-sum games in which both players are in the same position."""

from __future__ import annotations

import numpy as np

from acme_psro.games.sequence_form import payoff_matrix, plan_constraints
from acme_psro.games.tree import GameTree

_ROUNDING = 1e-9


def find_counterparts(tree: GameTree) -> np.ndarray | None:
    """Returns `[I]`: player 0's counterpart of each information state; None if the game is not symmetric.

    The k-th information states of both players are taken for counterparts, which is checked: they have the
    same legal actions and the same sequences before them, and exchanging the sequences of both players turns
    payoffs into their negatives. A symmetric game whose
    information states come in another order counts as not symmetric: it is learned for each player then.
    """
    first, second = tree.infosets_of(0), tree.infosets_of(1)
    num = first.stop - first.start
    if tree.num_players != 2 or not tree.zero_sum or num != second.stop - second.start:
        return None
    if not np.array_equal(tree.legal_actions[first], tree.legal_actions[second]):
        return None
    rows, columns = plan_constraints(tree, 0), plan_constraints(tree, 1)
    if abs(rows.matrix - columns.matrix).max() > 0:
        return None
    payoffs = payoff_matrix(tree, rows, columns)
    if abs(payoffs + payoffs.T).max() > _ROUNDING * tree.utility_scale:
        return None
    return first.start + np.tile(np.arange(num), 2)

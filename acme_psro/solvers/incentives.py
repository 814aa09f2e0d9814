"""Incentive constraints of correlated equilibria.

A joint distribution x over the cells of a meta-game is an equilibrium if `A x <= 0`, with a row for each
deviation and what the deviating player gains by it in each cell. In a coarse correlated equilibrium a
deviation is a policy that a player plays whatever is recommended; in a correlated one it replaces one
recommendation by one other policy (Marris et al. 2021, arXiv:2106.09435, section 2).

Dimensions: `n` cells of the meta-game in row-major order, `R` deviations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs, unit_payoffs
from acme_psro.meta_game.profiles import joint_of_cells
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.solvers.properties import Concept

if TYPE_CHECKING:
    import scipy.sparse

# An answer may have a regret of this share of a player's payoff range.
_ACCEPTED = 1e-7
# Probabilities below this are rounding of the solver.
_NOTHING = 1e-10


class Incentives(NamedTuple):
    """Deviations of a meta-game.

    Attributes:
      rows: `[R, n]` sparse, what each deviation gains in each cell.
      players: `[R]` int, the player who deviates.
    """

    rows: scipy.sparse.csr_array
    players: np.ndarray


def incentives(payoffs: np.ndarray, concept: Concept) -> Incentives:
    """Returns the deviations; those that never change anything are left out.

    Args:
      payoffs: float64 `[P, n_1, .., n_P]`.
      concept: `Concept.CE` or `Concept.CCE`.
    """
    import scipy.sparse

    if concept is Concept.CCE:
        gains = np.concatenate([_declining(table, player) for player, table in enumerate(payoffs)])
        rows = scipy.sparse.csr_array(gains)
        sizes = list(payoffs.shape[1:])
    else:
        parts = [_swapping(table, player) for player, table in enumerate(payoffs)]
        rows = scipy.sparse.vstack(parts, format="csr")
        sizes = [size * size for size in payoffs.shape[1:]]
    rows.eliminate_zeros()
    # Playing what is recommended anyway is no deviation.
    kept = np.flatnonzero(np.diff(rows.indptr) > 0)
    return Incentives(rows[kept], np.repeat(np.arange(len(payoffs)), sizes)[kept])


def _declining(table: np.ndarray, player: int) -> np.ndarray:
    """Returns `[n_p, n]`, the player's gains by each policy, whatever is recommended."""
    own = np.moveaxis(table, player, 0)
    gains = np.expand_dims(own, 1) - own[None]
    return np.moveaxis(gains, 1, 1 + player).reshape(len(own), -1)


def _swapping(table: np.ndarray, player: int) -> scipy.sparse.csr_array:
    """Returns `[n_p * n_p, n]`, its gains by each policy in place of each one that is recommended."""
    import scipy.sparse

    size = table.shape[player]
    own = np.moveaxis(table, player, 0).reshape(size, -1)
    cells = np.moveaxis(np.arange(table.size).reshape(table.shape), player, 0).reshape(size, -1)
    # gains[a, b]: what is gained in the cells of policy b if a is played instead.
    gains = own[:, None] - own[None]
    rows = np.broadcast_to(np.arange(size * size).reshape(size, size, 1), gains.shape)
    columns = np.broadcast_to(cells[None], gains.shape)
    entries = (gains.ravel(), (rows.ravel(), columns.ravel()))
    return scipy.sparse.coo_array(entries, shape=(size * size, table.size)).tocsr()


def to_joint(cells: np.ndarray, sizes: Sequence[int], found: Incentives, bounds: np.ndarray) -> JointStrategy:
    """Returns probabilities of cells as a joint distribution, after checking them.

    Args:
      cells: `[n]`, the probabilities up to rounding.
      sizes: `n_1, .., n_P`, the sizes of the populations.
      found: the deviations, of payoffs in [0, 1].
      bounds: `[R]`, what each may gain.

    Raises:
      RuntimeError: a deviation gains more than it may.
    """
    cells = np.where(cells > _NOTHING, cells, 0.0)
    cells /= cells.sum()
    missed = float((found.rows @ cells - bounds).max(initial=0.0))
    if not missed <= _ACCEPTED:
        raise RuntimeError(
            f"no correlated equilibrium was found: a deviation gains {missed:.2g} of its player's payoff "
            "range more than it may; use the meta-solver regret_matching_cce"
        )
    return joint_of_cells(cells.reshape(sizes))


def prepare(payoffs: np.ndarray) -> np.ndarray:
    """Returns a checked payoff tensor, scaled to [0, 1] for each player, which changes no equilibrium.

    Raises:
      ValueError: the payoffs are malformed, see `check_payoffs`.
    """
    return unit_payoffs(check_payoffs(payoffs))

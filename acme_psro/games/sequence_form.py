"""The sequence form of a game as sparse matrices.

A realisation plan x of one player satisfies `F x = f`, `x >= 0`: the empty sequence has plan 1, and at each
information state the plans of its actions add up to the plan of the sequence that leads there. The expected
return in a two-player game is bilinear in the plans. Linear programs of these parts solve a game in time
polynomial in the size of its tree (von Stengel 1996, "Efficient computation of behavior strategies").

Dimensions: `I` information states over all players, `A` actions, `S = I * A + 1` sequences of all players
(numbered as in `tree.py`), `n` sequences of one player, `m` its information states plus one, `T` terminal
nodes.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import scipy.sparse

from acme_psro.games.tree import GameTree


class PlanConstraints(NamedTuple):
    """Constraints `matrix @ plan = right` on a player's realisation plans.

    Attributes:
      sequences: `[n]` int, the tree's numbers of the player's sequences, ascending; the empty one comes last.
      infosets: `[m - 1]` int, the information state of each row but the last, which is the empty sequence's.
      matrix: `[m, n]` sparse float64.
      right: `[m]` float64.
    """

    sequences: np.ndarray
    infosets: np.ndarray
    matrix: scipy.sparse.csr_matrix
    right: np.ndarray


def own_reach(tree: GameTree, allowed: np.ndarray) -> np.ndarray:
    """Returns the sequences that consist of allowed actions, `[S]` bool.

    Args:
      tree: the compiled game.
      allowed: `[I, A]` bool, at least one action in each row.
    """
    actions = tree.num_actions
    reach = np.zeros(tree.empty_sequence + 1, bool)
    reach[-1] = True
    for offsets in tree.level_offsets:
        for start, stop in itertools.pairwise(offsets):
            reached = reach[tree.parent_sequence[start:stop]]
            reach[start * actions : stop * actions] = (reached[:, None] & allowed[start:stop]).ravel()
    return reach


def used_terminals(tree: GameTree, reach: np.ndarray) -> np.ndarray:
    """Returns the terminal nodes that the sequences `[S]` bool of all players lead to, `[T]` bool."""
    return reach[tree.terminal_sequences].all(axis=0)


def used_sequences(tree: GameTree, terminals: np.ndarray) -> np.ndarray:
    """Returns the sequences on the paths to terminal nodes `[T]` bool, `[S]` bool."""
    actions = tree.num_actions
    used = np.zeros(tree.empty_sequence + 1, bool)
    used[-1] = True
    used[tree.terminal_sequences[:, terminals].ravel()] = True
    # From the last level to the first: a sequence is used if an information state after it is.
    for offsets in tree.level_offsets:
        for start, stop in zip(offsets[-2::-1], offsets[:0:-1], strict=True):
            reached = used[start * actions : stop * actions].reshape(-1, actions).any(axis=1)
            used[tree.parent_sequence[start:stop][reached]] = True
    return used


def plan_constraints(tree: GameTree, player: int, used: np.ndarray | None = None) -> PlanConstraints:
    """Returns the constraints on a player's realisation plans.

    Args:
      tree: the compiled game.
      player: the player whose plans are constrained.
      used: `[S]` bool, the sequences that the plans are over, together with all sequences before them; all
        legal ones if None. Information states without such sequences have no row.
    """
    actions = tree.num_actions
    rows = tree.infosets_of(player)
    if used is None:
        used = own_reach(tree, tree.legal_actions)
    own = rows.start * actions + np.flatnonzero(used[rows.start * actions : rows.stop * actions])
    sequences = np.append(own, tree.empty_sequence)
    after = own // actions
    infosets, row = np.unique(after, return_inverse=True)
    # Each information state has -1 at the sequence before it and 1 at each of its own.
    before = np.searchsorted(sequences, tree.parent_sequence[infosets])
    size = len(infosets)
    entries = np.concatenate([np.ones(len(own)), -np.ones(size), [1.0]])
    places = (
        np.concatenate([row, np.arange(size), [size]]),
        np.concatenate([np.arange(len(own)), before, [len(own)]]),
    )
    matrix = scipy.sparse.csr_matrix((entries, places), (size + 1, len(sequences)))
    return PlanConstraints(sequences, infosets, matrix, np.append(np.zeros(size), 1.0))


def payoff_matrix(
    tree: GameTree,
    rows: PlanConstraints,
    columns: PlanConstraints,
    player: int = 0,
    terminals: np.ndarray | None = None,
) -> scipy.sparse.csr_matrix:
    """Returns a player's returns in a two-player game, between the sequences of the two players.

    Entries are weighted by chance's probabilities, so that `x @ matrix @ y` is the expected return.

    Args:
      tree: the compiled game, with two players.
      rows: of player 0.
      columns: of player 1.
      player: the player whose returns they are.
      terminals: `[T]` bool, the terminal nodes that count; all if None. Their sequences must be among those
        of `rows` and `columns`.
    """
    ends = slice(None) if terminals is None else terminals
    first, second = tree.terminal_sequences[:, ends]
    places = np.searchsorted(rows.sequences, first), np.searchsorted(columns.sequences, second)
    matrix = scipy.sparse.csr_matrix(
        (tree.terminal_returns[player][ends], places), (len(rows.sequences), len(columns.sequences))
    )
    matrix.eliminate_zeros()
    return matrix

"""Play at the nodes of a compiled game: of a table, or of players who draw their policies together.

Play by a table is the same at all nodes of an information state. Players who draw their policies together
move as one coordinator who remembers the whole history (see `acme_psro.evaluation.coordinated`), so that
their moves differ from node to node.

Dimensions: `N` nodes, `S` sequences, `I` information states, `A` actions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree


class NodePlay(NamedTuple):
    """Moves of all players and of chance, and where they lead.

    Attributes:
      moves: `[N]`, the probability of the move into each node; 0 at the root.
      reach: `[N]`, the probability with which the players, without chance, lead to each node.
    """

    moves: np.ndarray
    reach: np.ndarray


def by_table(tree: GameTree, table: np.ndarray) -> NodePlay:
    """Returns the play of all players by a table `[I, A]`."""
    moves = tree.probability.copy()
    moved = np.flatnonzero(tree.player[tree.parent] >= 0)
    infoset = tree.infoset[tree.parent[moved]]
    moves[moved] = table[infoset, tree.action_of_slot[infoset, tree.slot[moved]]]
    moves[0] = 0.0
    return NodePlay(moves, np.prod(traverse.realisation_plan(tree, table)[tree.sequences], axis=1))


def against(tree: GameTree, others: np.ndarray, table: np.ndarray, player: int) -> NodePlay:
    """Returns the play of one player by a table against others who lead to nodes as they do.

    Args:
      tree: the compiled game.
      others: `[N]`, the others' contribution to the probability of reaching each node.
      table: `[I, A]`; of the others' rows those are used that they never reach.
      player: the one who plays by the table.
    """
    moves = by_table(tree, table).moves
    before = others[tree.parent]
    mover = tree.player[tree.parent]
    theirs = (mover >= 0) & (mover != player) & (before > 0.0)
    theirs[0] = False
    moves[theirs] = others[theirs] / before[theirs]
    own = traverse.realisation_plan(tree, table)[tree.sequences[:, player]]
    return NodePlay(moves, others * own)


def independent_others(tree: GameTree, plan: np.ndarray, player: int) -> np.ndarray:
    """Returns `[N]`: the contribution to reaching each node of others who play a realisation plan `[S]`."""
    others = [other for other in range(tree.num_players) if other != player]
    contribution: np.ndarray = np.prod(plan[tree.sequences[:, others]], axis=1)
    return contribution


def coordinated_others(tree: GameTree, joint_play: np.ndarray, player: int) -> np.ndarray:
    """Returns `[N]`: the same of others who move by `coordinated_play`, `[N, A]`."""
    contribution = np.ones(tree.num_nodes)
    for start, stop in zip(tree.depth_offsets[1:-1], tree.depth_offsets[2:], strict=True):
        parents = tree.parent[start:stop]
        theirs = (tree.player[parents] >= 0) & (tree.player[parents] != player)
        # Chance may have more slots than players have actions.
        slot = np.where(theirs, tree.slot[start:stop], 0)
        action = tree.action_of_slot[tree.infoset[parents], slot]
        moves = np.where(theirs, joint_play[parents, action], 1.0)
        contribution[start:stop] = contribution[parents] * moves
    return contribution

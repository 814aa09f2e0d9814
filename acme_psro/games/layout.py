"""Layout of a walked game: puts nodes and information states into the order of a `GameTree`.

Dimensions are those of `tree.py`: `N` nodes, `I` information states, `A` actions, `P` players, `D` numbers in
an observation. An index that a walk gives to nodes or information states is called old, the index in the
`GameTree` is called new.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from acme_psro.games.loading import GameError
from acme_psro.games.tree import NO_INFOSET, GameTree

# A table of one-hot observations has I times I numbers. A larger one than this would fill the memory.
_MAX_ONE_HOT = 64_000_000


class WalkedGame(NamedTuple):
    """All histories of a game, in the order in which a walk met them.

    Attributes:
      game_string: the game, in OpenSpiel's spelling.
      num_players: `P`.
      num_actions: `A`.
      pays_at_end: True if all rewards are paid at the end of the game.
      player: `[N]` int8, as in `GameTree`.
      infoset: `[N]` int32, as in `GameTree`.
      depth: `[N]` int32, the number of moves before the node.
      parent: `[N]` int32, as in `GameTree`.
      slot: `[N]` int32, as in `GameTree`.
      first_child: `[N]` int32, as in `GameTree`.
      num_children: `[N]` int32, as in `GameTree`.
      probability: `[N]` float64, as in `GameTree`.
      returns: `[N, P]` float64, the sum of all rewards up to and including the node. If `pays_at_end`, it is
        zero at inner nodes.
      owner: `[I]` int32, the player who decides in each information state.
      legal: `[I]` lists of legal actions, in ascending order.
      observations: `[I, D]` float32, or None if the game offers no tensors.
      keys: `[I]` strings that identify the information states of a player.
    """

    game_string: str
    num_players: int
    num_actions: int
    pays_at_end: bool
    player: np.ndarray
    infoset: np.ndarray
    depth: np.ndarray
    parent: np.ndarray
    slot: np.ndarray
    first_child: np.ndarray
    num_children: np.ndarray
    probability: np.ndarray
    returns: np.ndarray
    owner: np.ndarray
    legal: list[list[int]]
    observations: np.ndarray | None
    keys: tuple[str, ...]


def lay_out(walked: WalkedGame) -> GameTree:
    """Sorts nodes by depth, and information states by player and level.

    Raises:
      GameError: the game lacks perfect recall, or has too many information states for one-hot observations.
    """
    # The sort is stable, so that the children of a node stay contiguous.
    order = np.argsort(walked.depth, kind="stable")
    new_index = np.empty_like(order)
    new_index[order] = np.arange(len(order))
    depth = walked.depth[order]
    returns = walked.returns[order]
    parent = new_index[walked.parent[order]].astype(np.int32)
    first_child = walked.first_child[order]
    legal = np.zeros((len(walked.legal), walked.num_actions), bool)
    for row, allowed in zip(legal, walked.legal, strict=True):
        row[allowed] = True
    if walked.pays_at_end:
        reward = returns
    else:
        # The root is its own parent, and what is paid there has no returns before it to subtract.
        reward = returns - np.where(np.arange(len(parent))[:, None] == 0, 0.0, returns[parent])
    tree = GameTree(
        game_string=walked.game_string,
        num_players=walked.num_players,
        player=walked.player[order],
        infoset=walked.infoset[order],
        parent=parent,
        slot=walked.slot[order],
        # No child is the root, so 0 can only mean that there are no children.
        first_child=np.where(first_child > 0, new_index[first_child], 0).astype(np.int32),
        num_children=walked.num_children[order],
        probability=walked.probability[order],
        reward=reward,
        depth_offsets=np.searchsorted(depth, np.arange(depth.max() + 2)),
        level_offsets=(),
        legal_actions=legal,
        info_state=one_hot(walked.game_string, walked.owner)
        if walked.observations is None
        else walked.observations,
        keys=walked.keys,
    )
    return _order_infosets(tree, walked.owner)


def one_hot(name: str, owner: np.ndarray) -> np.ndarray:
    """Returns one-hot observations `[I, D]` float32: each player's information states are numbered from 0.

    Args:
      name: the game's name, for messages.
      owner: `[I]` int, the player of each information state.

    Raises:
      GameError: there are too many information states.
    """
    counts = np.bincount(owner)
    width = int(counts.max())
    if len(owner) * width > _MAX_ONE_HOT:
        raise GameError(
            f"{name} offers no tensors, and its {len(owner):,} information states are too many "
            "for one-hot observations: choose smaller game parameters."
        )
    rank = np.zeros(len(owner), int)
    for player, count in enumerate(counts):
        rank[owner == player] = np.arange(count)
    return np.eye(width, dtype=np.float32)[rank]


def _order_infosets(tree: GameTree, owner: np.ndarray) -> GameTree:
    """Sorts the information states by player and level.

    Args:
      tree: the game, with information states in any order and without `level_offsets`.
      owner: `[I]` int32, the player who decides in each information state.

    Raises:
      GameError: the game lacks perfect recall.
    """
    _check_perfect_recall(tree)
    level = _levels(tree)
    # The last key of lexsort is the first to be compared. The old index makes the order unique.
    order = np.lexsort((np.arange(len(owner)), level, owner))
    new_index = np.empty(len(order), np.int32)
    new_index[order] = np.arange(len(order), dtype=np.int32)
    sorted_owner, sorted_level = owner[order], level[order]
    offsets = []
    for player in range(tree.num_players):
        levels = sorted_level[sorted_owner == player]
        start = int(np.searchsorted(sorted_owner, player))
        # A player without information states has one offset, which stands for an empty slice.
        num_offsets = int(levels.max()) + 2 if len(levels) else 1
        offsets.append(start + np.searchsorted(levels, np.arange(num_offsets)))
    return dataclasses.replace(
        tree,
        infoset=np.where(tree.infoset == NO_INFOSET, NO_INFOSET, new_index[tree.infoset]).astype(np.int32),
        level_offsets=tuple(offsets),
        legal_actions=tree.legal_actions[order],
        info_state=tree.info_state[order],
        keys=tuple(tree.keys[i] for i in order),
    )


def _check_perfect_recall(tree: GameTree) -> None:
    """Raises a GameError if a player reaches an information state by different choices of its own."""
    nodes = np.flatnonzero(tree.infoset != NO_INFOSET)
    infosets = tree.infoset[nodes]
    own_sequence = tree.sequences[nodes, tree.player[nodes]]
    # `parent_sequence` is taken from one node of each information state, so the others are compared with it.
    differs = tree.parent_sequence[infosets] != own_sequence
    if differs.any():
        forgetful = infosets[np.argmax(differs)]
        raise GameError(
            f"{tree.game_string} lacks perfect recall at {tree.keys[forgetful]!r}: its player reaches it by "
            "different choices of its own; choose a game with perfect recall."
        )


def _levels(tree: GameTree) -> np.ndarray:
    """Returns `[I]` int32, the number of decisions of its own player that precede each information state."""
    # The empty sequence, I * A, gives the number I here, which is no information state.
    before = tree.parent_sequence // tree.num_actions
    level = np.zeros(tree.num_infosets, np.int32)
    current = np.arange(tree.num_infosets)
    # All information states climb to their predecessors at the same time, one level per iteration.
    while True:
        parents = before[current]
        deeper = parents < tree.num_infosets
        if not deeper.any():
            return level
        level += deeper
        # An information state that has reached level 0 stays there and is not counted again.
        current = np.where(deeper, parents, current)

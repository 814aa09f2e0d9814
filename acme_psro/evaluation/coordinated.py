"""Correlated play of the players on a compiled game: the others' policies are drawn together.

If one player deviates from a joint distribution, it meets the other players' joint draw. With two players
that is the other one's marginal. With more, no product of policies matches it, but play that looks at the
whole history does: it is what one coordinator of all others would do, who remembers everything (Kuhn 1953).

Dimensions: `N` nodes, `A` actions, `B` joint draws, `n_p` policies of player p.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acme_psro.games.tree import GameTree
from acme_psro.meta_game.profiles import others_probabilities
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.policies.tabular import Population, reach

# Numbers at a time, so that memory does not grow with the game times the number of profiles.
_MOST_NUMBERS = 2_000_000


def others_reach(
    tree: GameTree,
    populations: Sequence[Population],
    joint: JointStrategy,
    player: int,
    nodes: np.ndarray,
) -> np.ndarray:
    """Returns `[n]`: the others' contribution to the probability of reaching each node, drawing together.

    Args:
      tree: the compiled game.
      populations: one a player.
      joint: a distribution over profiles of them.
      player: the player whose own choices, and recommendations, do not count.
      nodes: `[n]` int, nodes of the tree.
    """
    sizes = [len(population) for population in populations]
    weights = others_probabilities(joint, sizes, player).squeeze(axis=player)
    return reach_by_draws(tree, populations, weights[None], player, nodes)[0]


def reach_by_draws(
    tree: GameTree,
    populations: Sequence[Population],
    weights: np.ndarray,
    player: int,
    nodes: np.ndarray,
) -> np.ndarray:
    """Returns `[B, n]`: the same as `others_reach` for several joint draws of the others.

    Args:
      tree: the compiled game.
      populations: one a player.
      weights: `[B, ..]`, for each draw the probabilities of the others' profiles, an axis for each of them.
      player: the player whose own choices do not count.
      nodes: `[n]` int, nodes of the tree.
    """
    others = [other for other in range(tree.num_players) if other != player]
    drawn = [
        np.flatnonzero(weights.sum(axis=_all_but(1 + axis, weights.ndim))) for axis in range(len(others))
    ]
    weights = weights[np.ix_(np.arange(len(weights)), *drawn)]
    kept = [
        tuple(populations[other][index] for index in own) for other, own in zip(others, drawn, strict=True)
    ]
    at_once = max(1, _MOST_NUMBERS // max(1, weights[..., 0].size))
    parts = []
    for start in range(0, len(nodes), at_once):
        sequences = tree.sequences[nodes[start : start + at_once]].astype(np.intp)
        total = weights[..., None]
        # From the last player down; the axis of nodes stays at the end.
        for other, own in zip(reversed(others), reversed(kept), strict=True):
            reached = reach(tree, other, own, sequences[:, other])
            total = total[..., 0] @ reached if total.shape[-1] == 1 else (total * reached).sum(axis=-2)
        parts.append(np.broadcast_to(total, (len(weights), len(sequences))))
    return np.concatenate(parts, axis=1)


def coordinated_play(
    tree: GameTree, populations: Sequence[Population], joint: JointStrategy, player: int
) -> np.ndarray:
    """Returns `[N, A]`: how the others move at every node when they draw their policies together.

    A row has the probabilities of the mover's actions, given the node. Rows of nodes that the others never
    let the game reach are uniform over legal actions, as are those of the player itself. Rows of chance and
    of ends are zero. Games in which the others move by these rows are distributed as games for each of which
    they draw a profile.

    Args:
      tree: the compiled game.
      populations: one a player.
      joint: a distribution over profiles of them.
      player: the player whose own choices, and recommendations, do not count.
    """
    arrived = others_reach(tree, populations, joint, player, np.arange(tree.num_nodes))
    table = np.zeros((tree.num_nodes, tree.num_actions))
    decided = tree.player >= 0
    table[decided] = tree.uniform_policy()[tree.infoset[decided]]
    moved = decided & (tree.player != player) & (arrived > 0.0)
    children = np.flatnonzero(moved[tree.parent] & (np.arange(tree.num_nodes) > 0))
    parents = tree.parent[children]
    actions = tree.action_of_slot[tree.infoset[parents], tree.slot[children]]
    table[parents, actions] = arrived[children] / arrived[parents]
    return table


def _all_but(axis: int, num: int) -> tuple[int, ...]:
    return tuple(other for other in range(num) if other != axis)

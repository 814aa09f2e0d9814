"""Layout of a merged game: puts what a search found into the order of a `GameGraph`.

Dimensions are those of `graph.py`: `N` nodes, `O` observations over all players, `A` actions, `P` players,
`D` numbers in an observation.
"""

from __future__ import annotations

import numpy as np

from acme_psro.games.graph import GameGraph
from acme_psro.games.layers import find_layers
from acme_psro.games.layout import one_hot
from acme_psro.games.merging import MergedGame
from acme_psro.games.tree import NO_INFOSET
from acme_psro.games.views import View


def lay_out_graph(
    name: str, num_players: int, num_actions: int, view: View, merged: MergedGame, horizon: int
) -> GameGraph:
    """Sorts the observations by player, and finds out whether the graph is cyclic.

    Args:
      name: the game's name.
      num_players: `P`.
      num_actions: `A`.
      view: what players see.
      merged: the merged game.
      horizon: the largest number of moves of an episode if the graph is cyclic.

    Raises:
      GameError: there are no tensors, and too many observations for one-hot ones.
    """
    order = np.argsort(merged.owner, kind="stable")
    new_row = np.empty(len(order), np.int32)
    new_row[order] = np.arange(len(order), dtype=np.int32)
    legal = np.zeros((len(order), num_actions), bool)
    for row, old in zip(legal, order, strict=True):
        row[merged.legal[old]] = True
    # `np.maximum` keeps the index valid at nodes of no player.
    observation = np.where(
        merged.observation == NO_INFOSET, NO_INFOSET, new_row[np.maximum(merged.observation, 0)]
    )
    layer = find_layers(merged.first_edge, merged.num_children, merged.successor)
    return GameGraph(
        game_string=name,
        num_players=num_players,
        player=merged.player,
        observation=observation.astype(np.int32),
        first_edge=merged.first_edge,
        num_children=merged.num_children,
        successor=merged.successor,
        probability=merged.probability,
        reward=merged.reward,
        legal_actions=legal,
        info_state=one_hot(name, merged.owner[order]) if merged.numbers is None else merged.numbers[order],
        keys=tuple(merged.keys[old] for old in order),
        observation_offsets=np.searchsorted(merged.owner[order], np.arange(num_players + 1)),
        max_moves=horizon if layer is None else int(layer.max()),
        is_cyclic=layer is None,
        seen_by=view.name,
        remark=view.remark,
    )

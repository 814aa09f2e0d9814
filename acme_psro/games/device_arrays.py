"""A compiled game, tree or graph, as arrays on the device, in the form that simulation needs.

Dimensions are those of `tree.py` and `graph.py`: `N` nodes, `E` edges (moves), `I` information states of a
tree or observations of a graph, `A` actions, `P` players, `D` numbers in an observation. In a tree an edge
has the number of the node behind it, so that `E` is `N` and no move leads over edge 0.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.games.graph import GameGraph
from acme_psro.games.tree import CHANCE, TERMINAL, GameTree


class Horizon(NamedTuple):
    """The end of the episodes of a cyclic graph.

    Attributes:
      moves: `[]` int32, the number of moves after which an episode ends.
      node: `[]` int32, a terminal node, at which it ends.
    """

    moves: jax.Array
    node: jax.Array


class GameArrays(NamedTuple):
    """The part of a `GameTree` or a `GameGraph` that simulation needs, on the device.

    Attributes:
      player: `[N]` int32, the player to move, `CHANCE` or `TERMINAL`.
      infoset: `[N]` int32, the mover's information state. It is 0 at nodes of no player, so that it is always
        a valid index.
      first_child: `[N]` int32, the edge behind slot 0; 0 at terminal nodes.
      num_children: `[N]` int32, the number of slots.
      alias_threshold: `[E]` float32, for each move of chance: see `alias_tables`.
      alias_slot: `[E]` int32, for each move of chance: see `alias_tables`.
      reward: `[E, P]` float32, paid by the move, in the game's utility units.
      info_state: `[I, D]` float32, the mover's observation.
      legal_actions: `[I, A]` bool.
      slot_of_action: `[I, A]` int32, the slot of each action.
      action_of_slot: `[I, A]` int32, the action of each slot, the inverse of `slot_of_action`.
      max_moves: `[]` int32, an upper bound on the moves that finish one game and play the next one.
      successor: `[E]` int32, the node behind each edge, or None for a tree.
      horizon: the end of the episodes of a cyclic graph, or None for other games.
    """

    player: jax.Array
    infoset: jax.Array
    first_child: jax.Array
    num_children: jax.Array
    alias_threshold: jax.Array
    alias_slot: jax.Array
    reward: jax.Array
    info_state: jax.Array
    legal_actions: jax.Array
    slot_of_action: jax.Array
    action_of_slot: jax.Array
    max_moves: jax.Array
    successor: jax.Array | None = None
    horizon: Horizon | None = None


def make_arrays(game: GameTree | GameGraph) -> GameArrays:
    """Copies a compiled game to the device."""
    return _of_tree(game) if isinstance(game, GameTree) else _of_graph(game)


def _of_tree(tree: GameTree) -> GameArrays:
    threshold, alias = alias_tables(tree)
    return GameArrays(
        player=jnp.asarray(tree.player, jnp.int32),
        infoset=jnp.asarray(np.maximum(tree.infoset, 0), jnp.int32),
        first_child=jnp.asarray(tree.first_child),
        num_children=jnp.asarray(tree.num_children),
        alias_threshold=jnp.asarray(threshold, jnp.float32),
        alias_slot=jnp.asarray(alias, jnp.int32),
        reward=jnp.asarray(tree.reward, jnp.float32),
        info_state=jnp.asarray(tree.info_state),
        legal_actions=jnp.asarray(tree.legal_actions),
        # Each row is a permutation of the actions, and argsort inverts a permutation.
        slot_of_action=jnp.asarray(np.argsort(tree.action_of_slot, axis=1), jnp.int32),
        action_of_slot=jnp.asarray(tree.action_of_slot),
        # The rest of a game and the whole of the next one are each at most as long as the tree is deep.
        max_moves=jnp.asarray(2 * (len(tree.depth_offsets) - 1), jnp.int32),
    )


def _of_graph(graph: GameGraph) -> GameArrays:
    threshold, alias = alias_tables(graph)
    player, more = graph.player, 0
    horizon = None
    if graph.is_cyclic:
        # No other node is certain to be terminal, so one more is appended.
        player, more = np.append(player, np.int8(TERMINAL)), 1
        horizon = Horizon(jnp.asarray(graph.max_moves, jnp.int32), jnp.asarray(graph.num_nodes, jnp.int32))
    return GameArrays(
        player=jnp.asarray(player, jnp.int32),
        infoset=jnp.asarray(np.pad(np.maximum(graph.observation, 0), (0, more)), jnp.int32),
        first_child=jnp.asarray(np.pad(graph.first_edge, (0, more)), jnp.int32),
        num_children=jnp.asarray(np.pad(graph.num_children, (0, more)), jnp.int32),
        alias_threshold=jnp.asarray(threshold, jnp.float32),
        alias_slot=jnp.asarray(alias, jnp.int32),
        reward=jnp.asarray(graph.reward, jnp.float32),
        info_state=jnp.asarray(graph.info_state),
        legal_actions=jnp.asarray(graph.legal_actions),
        slot_of_action=jnp.asarray(np.argsort(graph.action_of_slot, axis=1), jnp.int32),
        action_of_slot=jnp.asarray(graph.action_of_slot),
        # As for a tree. To begin the next game takes one more.
        max_moves=jnp.asarray(2 * (graph.max_moves + 1), jnp.int32),
        successor=jnp.asarray(graph.successor, jnp.int32),
        horizon=horizon,
    )


def alias_tables(game: GameTree | GameGraph) -> tuple[np.ndarray, np.ndarray]:
    """Computes Walker's alias tables of all chance nodes, by the method of Vose (1991).

    With these tables a chance event costs a single look-up, whatever the number of its outcomes.

    Returns:
      Thresholds `[E]` float64 and slots `[E]` int32. To sample the outcome of a chance node, draw a move k
      uniformly. Keep it with probability threshold[k], and take the move in slot[k] otherwise.
    """
    first_edge = game.first_child if isinstance(game, GameTree) else game.first_edge
    threshold, alias = np.ones(len(game.probability)), game.slot.copy()
    for node in np.flatnonzero(game.player == CHANCE):
        first, count = first_edge[node], game.num_children[node]
        # The scaled probabilities have mean 1. Each outcome below 1 is filled up to 1 by one outcome above.
        scaled = game.probability[first : first + count] * count
        small = [k for k in range(count) if scaled[k] < 1.0]
        large = [k for k in range(count) if scaled[k] >= 1.0]
        while small and large:
            low, high = small.pop(), large[-1]
            threshold[first + low], alias[first + low] = scaled[low], high
            scaled[high] -= 1.0 - scaled[low]
            if scaled[high] < 1.0:
                small.append(large.pop())
        # Outcomes that are left differ from 1 by rounding alone, and keep the threshold 1.
    return threshold, alias

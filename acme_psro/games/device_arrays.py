"""A compiled game as arrays on the device, in the form that simulation needs.

Dimensions are those of `tree.py`: `N` nodes, `I` information states, `A` actions, `P` players, `D` numbers in
an observation.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.games.tree import CHANCE, GameTree


class GameArrays(NamedTuple):
    """The part of a `GameTree` that simulation needs, on the device.

    Attributes:
      player: `[N]` int32, the player to move, `CHANCE` or `TERMINAL`.
      infoset: `[N]` int32, the mover's information state. It is 0 at nodes of no player, so that it is always
        a valid index.
      first_child: `[N]` int32, the node behind slot 0; 0 at terminal nodes.
      num_children: `[N]` int32, the number of slots.
      alias_threshold: `[N]` float32, for each child of a chance node: see `alias_tables`.
      alias_slot: `[N]` int32, for each child of a chance node: see `alias_tables`.
      reward: `[N, P]` float32, paid on entering the node, in the game's utility units.
      info_state: `[I, D]` float32, the mover's observation.
      legal_actions: `[I, A]` bool.
      slot_of_action: `[I, A]` int32, the slot of each action.
      action_of_slot: `[I, A]` int32, the action of each slot, the inverse of `slot_of_action`.
      max_moves: `[]` int32, an upper bound on the moves that finish one game and play the next one.
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


def make_arrays(tree: GameTree) -> GameArrays:
    """Copies a compiled game to the device."""
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


def alias_tables(tree: GameTree) -> tuple[np.ndarray, np.ndarray]:
    """Computes Walker's alias tables of all chance nodes, by the method of Vose (1991).

    With these tables a chance event costs a single look-up, whatever the number of its outcomes.

    Returns:
      Thresholds `[N]` float64 and slots `[N]` int32. To sample the outcome of a chance node, draw a child k
      uniformly. Keep it with probability threshold[k], and take the child in slot[k] otherwise.
    """
    threshold, alias = np.ones(tree.num_nodes), tree.slot.copy()
    for node in np.flatnonzero(tree.player == CHANCE):
        first, count = tree.first_child[node], tree.num_children[node]
        # The scaled probabilities have mean 1. Each outcome below 1 is filled up to 1 by one outcome above.
        scaled = tree.probability[first : first + count] * count
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

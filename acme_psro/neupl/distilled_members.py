"""Members of one network for all players: what it has learned, and the policies that it plays.

The first policy of each population is the fixed one that it begins with, which no network plays. All others
are members, numbered over all players in the order in which they joined.

Dimensions: `m` members, `R` information states of the player who has most, `A` actions, `E` numbers in an
embedding, `I_p` information states of player p.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.games.tree import GameTree
from acme_psro.neupl.distillation import Learned, Places
from acme_psro.oracles.base import Memory
from acme_psro.policies.tabular import Policy, reach
from acme_psro.system import pytrees

# Members that the program has room for at first. It is compiled again only if there are twice as many.
_ROOM = 32


class MemberNetwork(NamedTuple):
    """A network and its members.

    Attributes:
      params: the parameters, nested arrays.
      embeddings: `[m, E]` float32.
      players: `[m]` int32, the player of each member.
    """

    params: Any
    embeddings: np.ndarray
    players: np.ndarray

    def of_player(self, player: int) -> np.ndarray:
        """Returns the numbers of a player's members, in the order of its population."""
        return np.flatnonzero(self.players == player)


def add_members(network: MemberNetwork, rng: np.random.Generator, players: np.ndarray) -> MemberNetwork:
    """Returns the network with a new member for each of the players `[n]`, with an embedding drawn for it."""
    size = network.embeddings.shape[1]
    # The norm of an embedding is about 1, like that of the one-hot player beside it.
    drawn = rng.normal(size=(len(players), size)) * size**-0.5
    embeddings = np.concatenate([network.embeddings, drawn.astype(np.float32)])
    return MemberNetwork(network.params, embeddings, np.append(network.players, players).astype(np.int32))


def room_for(num: int) -> int:
    """Returns the members that programs have room for, which depends on nothing but their number `num`."""
    room = _ROOM
    while room < num:
        room *= 2
    return room


def to_learned(network: MemberNetwork) -> Learned:
    """Returns what is learned as arrays with room for more members."""
    missing = room_for(len(network.players)) - len(network.players)
    return Learned(network.params, jnp.asarray(np.pad(network.embeddings, ((0, missing), (0, 0)))))


def from_learned(learned: Learned, players: np.ndarray) -> MemberNetwork:
    """Returns the network of what was learned, without the room for more members."""
    return MemberNetwork(learned.params, np.asarray(learned.embeddings)[: len(players)], players)


def infosets_of_members(tree: GameTree, players: np.ndarray) -> np.ndarray:
    """Returns `[m, R]` int32: the information states of each member's player, padded with its last one."""
    own = [tree.infosets_of(player) for player in range(tree.num_players)]
    most = max(rows.stop - rows.start for rows in own)
    rows = [np.minimum(rows.start + np.arange(most), rows.stop - 1) for rows in own]
    return np.stack([rows[player] for player in players]).astype(np.int32)


def make_places(tree: GameTree, info_state: jax.Array, legal: jax.Array, players: np.ndarray) -> Places:
    """Returns where members are defined, with room for more.

    Args:
      tree: the compiled game.
      info_state: `[I, D]`, on the device.
      legal: `[I, A]`, legal actions, on the device.
      players: `[m]`, the player of each member.
    """
    padded = np.pad(players, (0, room_for(len(players)) - len(players))).astype(np.int32)
    infoset = infosets_of_members(tree, padded)
    return Places(jnp.asarray(padded), jnp.asarray(infoset), info_state, legal)


def chances_of(tree: GameTree, player: int, policy: Policy, elsewhere: float) -> np.ndarray:
    """Returns `[R]` float64: how often a policy's information states are drawn to learn it; they sum to 1.

    Args:
      tree: the compiled game.
      player: the policy's player.
      policy: the policy.
      elsewhere: share of states that are drawn evenly; the others in proportion to the probability with which
        the policy's own actions lead there.
    """
    leading = reach_of(tree, player, policy)
    even = np.full(len(leading), 1 / len(leading))
    chances = elsewhere * even + (1 - elsewhere) * leading / leading.sum()
    most = infosets_of_members(tree, np.array([player])).shape[1]
    return np.pad(chances, (0, most - len(chances)))


def reach_of(tree: GameTree, player: int, policy: Policy) -> np.ndarray:
    """Returns `[I_p]`: the probability with which a policy's own actions lead to its information states."""
    (leading,) = reach(tree, player, (policy,), tree.parent_sequence[tree.infosets_of(player)])
    return leading


def to_memory(network: MemberNetwork) -> Memory:
    """Returns the network as arrays by name."""
    arrays = pytrees.to_arrays(network.params)
    return arrays | {"embeddings": network.embeddings, "players": network.players}


def from_memory(example: MemberNetwork, memory: Memory) -> MemberNetwork:
    """Returns the network from `to_memory`; other arrays are ignored.

    Args:
      example: a network of the same agent in the same game, with any members.
      memory: the arrays.

    Raises:
      ValueError: they are those of another agent or game.
    """
    otherwise = "the members' network in the checkpoint is of another agent or game."
    params = pytrees.from_arrays(example.params, memory, otherwise)
    embeddings, players = memory.get("embeddings"), memory.get("players")
    size = example.embeddings.shape[1]
    if embeddings is None or players is None or embeddings.shape != (len(players), size):
        raise ValueError(otherwise)
    return MemberNetwork(params, embeddings, players)

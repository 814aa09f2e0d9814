"""A game of OpenSpiel as arrays.

Dimensions: `N` nodes (histories), `I` information states over all players, `A` actions, `P` players,
`T` terminal nodes, `D` numbers in an observation, `L` levels.

Nodes are ordered by depth and the children of a node are contiguous, so a move is
`first_child[node] + slot`. Information states are ordered by player, then by how many decisions of their
own player precede them (their level), so that a player's are a slice and dynamic programmes run level by
level. A *sequence* is an information state with an action taken there, numbered `infoset * A + action`;
`I * A` is the empty sequence (Koller, Megiddo & von Stengel 1996).
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

CHANCE = -1
TERMINAL = -2
NO_INFOSET = -1


@dataclasses.dataclass(frozen=True, eq=False)
class GameTree:
    """A whole game, enumerated.

    Attributes:
      game_string: what `pyspiel.load_game` takes; parameters included.
      player: `[N]` int8, who moves: a player, `CHANCE` or `TERMINAL`.
      infoset: `[N]` int32, the mover's information state, `NO_INFOSET` where no player moves.
      parent: `[N]` int32; the root is its own parent.
      slot: `[N]` int32, which child of its parent a node is, in the order of legal actions.
      first_child: `[N]` int32; 0 at terminal nodes.
      num_children: `[N]` int32.
      probability: `[N]` float64, chance's probability of the move into the node; 1 for other movers.
      reward: `[N, P]` float64, paid on entering the node, in the game's own utility units.
      depth_offsets: `[depths + 1]`, nodes of depth d are `offsets[d]:offsets[d + 1]`.
      level_offsets: per player, `[levels + 1]`; its information states of level l are
        `offsets[l]:offsets[l + 1]`.
      legal_actions: `[I, A]` bool.
      info_state: `[I, D]` float32, what the mover observes.
      keys: `[I]` OpenSpiel's information state strings.
    """

    game_string: str
    num_players: int
    player: np.ndarray
    infoset: np.ndarray
    parent: np.ndarray
    slot: np.ndarray
    first_child: np.ndarray
    num_children: np.ndarray
    probability: np.ndarray
    reward: np.ndarray
    depth_offsets: np.ndarray
    level_offsets: tuple[np.ndarray, ...]
    legal_actions: np.ndarray
    info_state: np.ndarray
    keys: tuple[str, ...]

    @property
    def num_nodes(self) -> int:
        return len(self.player)

    @property
    def num_infosets(self) -> int:
        return self.legal_actions.shape[0]

    @property
    def num_actions(self) -> int:
        return self.legal_actions.shape[1]

    @property
    def empty_sequence(self) -> int:
        return self.num_infosets * self.num_actions

    def infosets_of(self, player: int) -> slice:
        """The player's information states, as a slice of `I`."""
        offsets = self.level_offsets[player]
        return slice(int(offsets[0]), int(offsets[-1]))

    @functools.cached_property
    def action_of_slot(self) -> np.ndarray:
        """`[I, A]` int32: the action behind each slot; slots beyond the legal actions come last."""
        return np.argsort(~self.legal_actions, axis=1, kind="stable").astype(np.int32)

    @functools.cached_property
    def sequences(self) -> np.ndarray:
        """`[N, P]` int32: each player's last sequence on the way to the node."""
        sequences = np.full((self.num_nodes, self.num_players), self.empty_sequence, np.int32)
        for start, stop in zip(self.depth_offsets[1:-1], self.depth_offsets[2:], strict=True):
            nodes = np.arange(start, stop)
            parents = self.parent[nodes]
            sequences[nodes] = sequences[parents]
            decided = self.player[parents] >= 0
            nodes, parents = nodes[decided], parents[decided]
            infosets = self.infoset[parents]
            actions = self.action_of_slot[infosets, self.slot[nodes]]
            sequences[nodes, self.player[parents]] = infosets * self.num_actions + actions
        return sequences

    @functools.cached_property
    def parent_sequence(self) -> np.ndarray:
        """`[I]` int32: the owner's last sequence before the information state."""
        nodes = np.flatnonzero(self.infoset != NO_INFOSET)
        parents = np.zeros(self.num_infosets, np.int32)
        parents[self.infoset[nodes]] = self.sequences[nodes, self.player[nodes]]
        return parents

    @functools.cached_property
    def terminal_nodes(self) -> np.ndarray:
        """`[T]` int: the nodes where the game is over."""
        return np.flatnonzero(self.player == TERMINAL)

    @functools.cached_property
    def terminal_sequences(self) -> np.ndarray:
        """`[P, T]` int: each player's last sequence at the end of the game."""
        return np.ascontiguousarray(self.sequences[self.terminal_nodes].T.astype(np.intp))

    @functools.cached_property
    def terminal_returns(self) -> np.ndarray:
        """`[P, T]` float64: the sum of a player's rewards, times chance's reach of the end."""
        returns = self.reward.copy()
        reach = self.probability.copy()
        for start, stop in zip(self.depth_offsets[1:-1], self.depth_offsets[2:], strict=True):
            parents = self.parent[start:stop]
            returns[start:stop] += returns[parents]
            reach[start:stop] *= reach[parents]
        ends = self.terminal_nodes
        return np.ascontiguousarray((returns[ends] * reach[ends, None]).T)

    @functools.cached_property
    def zero_sum(self) -> bool:
        """Whether the players' returns sum to zero wherever the game ends."""
        return bool(np.abs(self.terminal_returns.sum(axis=0)).max() < 1e-9)

    @functools.cached_property
    def utility_scale(self) -> float:
        """The largest absolute return of any player, or 1 in a game that pays nothing."""
        returns = self.reward.copy()
        for start, stop in zip(self.depth_offsets[1:-1], self.depth_offsets[2:], strict=True):
            returns[start:stop] += returns[self.parent[start:stop]]
        return float(np.abs(returns[self.terminal_nodes]).max()) or 1.0

    def uniform_policy(self) -> np.ndarray:
        """`[I, A]` float64: the policy that plays every legal action alike."""
        return self.legal_actions / self.legal_actions.sum(axis=1, keepdims=True)

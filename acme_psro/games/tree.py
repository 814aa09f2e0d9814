"""An OpenSpiel game as arrays.

Dimensions: `N` nodes (histories), `I` information states over all players, `A` actions, `P` players,
`T` terminal nodes, `D` numbers in an observation, `L` levels.

Nodes are ordered by depth and the children of a node are contiguous, so a move leads to
`first_child[node] + slot`. Information states are ordered by player, and then by level. The level is the
number of decisions of their own player that precede them. The information states of a player are therefore a
slice, and dynamic programming proceeds level by level. A *sequence* is an information state with an action
taken there, numbered `infoset * A + action`; `I * A` is the empty sequence (Koller, Megiddo & von Stengel
1996, "Efficient computation of equilibria for extensive two-person games").
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import numpy as np

# Values of `GameTree.player` at nodes at which no player moves.
CHANCE = -1
TERMINAL = -2
# Value of `GameTree.infoset` at these nodes.
NO_INFOSET = -1
# Fields of `GameTree` that are one array each; `level_offsets` follow from them.
ARRAYS = (
    "player", "infoset", "parent", "slot", "first_child", "num_children", "probability", "reward",
    "depth_offsets", "legal_actions", "info_state",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class GameTree:
    """All histories of a game, as arrays.

    Attributes:
      game_string: the game's name, which `load_game` takes, see `acme_psro.games.identity`.
      num_players: `P`.
      player: `[N]` int8, the player to move, `CHANCE` or `TERMINAL`.
      infoset: `[N]` int32, the mover's information state, or `NO_INFOSET` if no player moves.
      parent: `[N]` int32; the root is its own parent.
      slot: `[N]` int32, the position of a node among the children of its parent, in the order of legal
        actions.
      first_child: `[N]` int32, the node behind slot 0; 0 at terminal nodes.
      num_children: `[N]` int32, the number of slots.
      probability: `[N]` float64, the probability of the move into the node if chance makes it, and 1
        otherwise.
      reward: `[N, P]` float64, paid on entering the node, in the game's utility units.
      depth_offsets: `[depths + 1]` int. The nodes of depth d are `offsets[d]:offsets[d + 1]`.
      level_offsets: one array `[levels + 1]` int for each player. Its information states of level l are
        `offsets[l]:offsets[l + 1]`.
      legal_actions: `[I, A]` bool.
      info_state: `[I, D]` float32, the mover's observation.
      keys: `[I]` names of the information states, see `acme_psro.games.information_states`.
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
        """Returns the slice of `I` that holds the player's information states."""
        offsets = self.level_offsets[player]
        return slice(int(offsets[0]), int(offsets[-1]))

    @property
    def num_rows(self) -> int:
        """The rows of a policy table, `I`, see `acme_psro.games.compiled`."""
        return self.num_infosets

    def rows_of(self, player: int) -> slice:
        """Returns the player's rows in a policy table, see `acme_psro.games.compiled`."""
        return self.infosets_of(player)

    @property
    def most_decisions(self) -> int:
        """The largest number of decisions of one player in a game, see `acme_psro.games.compiled`."""
        return max(len(offsets) - 1 for offsets in self.level_offsets)

    @functools.cached_property
    def digest(self) -> str:
        """A digest of all arrays: the identity of the compiled game, whatever its name is."""
        digest = hashlib.sha256()
        for array in (getattr(self, name) for name in ARRAYS):
            digest.update(f"{array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        digest.update("\0".join(self.keys).encode())
        return digest.hexdigest()

    @functools.cached_property
    def num_observations(self) -> int:
        """The number of different observations over all players.

        If it is smaller than `I`, a network cannot tell all information states apart, although an exact best
        response can.
        """
        return sum(map(self.count_observations, range(self.num_players)))

    def count_observations(self, player: int) -> int:
        """Returns the number of different observations of a player."""
        rows = self.info_state[self.infosets_of(player)]
        return len(np.unique(rows, axis=0)) if len(rows) else 0

    @functools.cached_property
    def action_of_slot(self) -> np.ndarray:
        """Action of each slot, `[I, A]` int32. The illegal actions fill the slots after the legal ones."""
        return np.argsort(~self.legal_actions, axis=1, kind="stable").astype(np.int32)

    @functools.cached_property
    def sequences(self) -> np.ndarray:
        """Last sequence of each player on the path to each node, `[N, P]` int32."""
        sequences = np.full((self.num_nodes, self.num_players), self.empty_sequence, np.int32)
        # Parents come before their children in the order of depths, so each depth only needs the one before.
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
        """Last sequence of its own player before each information state, `[I]` int32."""
        # With perfect recall all nodes of an information state agree, so it does not matter which one is
        # used.
        nodes = np.flatnonzero(self.infoset != NO_INFOSET)
        parents = np.zeros(self.num_infosets, np.int32)
        parents[self.infoset[nodes]] = self.sequences[nodes, self.player[nodes]]
        return parents

    @functools.cached_property
    def terminal_nodes(self) -> np.ndarray:
        """Terminal nodes, `[T]` int."""
        return np.flatnonzero(self.player == TERMINAL)

    @functools.cached_property
    def terminal_sequences(self) -> np.ndarray:
        """Last sequence of each player at each terminal node, `[P, T]` int."""
        return np.ascontiguousarray(self.sequences[self.terminal_nodes].T.astype(np.intp))

    @functools.cached_property
    def terminal_returns(self) -> np.ndarray:
        """Returns of the players at terminal nodes, times chance's reach probabilities, `[P, T]` float64."""
        returns = self.reward.copy()
        for start, stop in zip(self.depth_offsets[1:-1], self.depth_offsets[2:], strict=True):
            returns[start:stop] += returns[self.parent[start:stop]]
        return np.ascontiguousarray((returns[self.terminal_nodes] * self.terminal_chance[:, None]).T)

    @functools.cached_property
    def terminal_chance(self) -> np.ndarray:
        """Chance's contribution to the probability of reaching each terminal node, `[T]` float64."""
        reach = self.probability.copy()
        for start, stop in zip(self.depth_offsets[1:-1], self.depth_offsets[2:], strict=True):
            reach[start:stop] *= reach[self.parent[start:stop]]
        return reach[self.terminal_nodes]

    @functools.cached_property
    def zero_sum(self) -> bool:
        """True if the players' returns sum to zero at each terminal node."""
        return bool(np.abs(self.terminal_returns.sum(axis=0)).max() < 1e-9)

    @functools.cached_property
    def utility_scale(self) -> float:
        """Largest absolute return of any player, or 1 if the game pays nothing."""
        returns = self.reward.copy()
        for start, stop in zip(self.depth_offsets[1:-1], self.depth_offsets[2:], strict=True):
            returns[start:stop] += returns[self.parent[start:stop]]
        return float(np.abs(returns[self.terminal_nodes]).max()) or 1.0

    def uniform_policy(self) -> np.ndarray:
        """Returns the policy that plays all legal actions with equal probability, `[I, A]` float64."""
        return self.legal_actions / self.legal_actions.sum(axis=1, keepdims=True)

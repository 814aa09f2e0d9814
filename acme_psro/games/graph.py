"""An OpenSpiel game as a graph of merged states, in arrays.

Histories that lead to the same state, as far as any player can ever tell, are one node, so that a graph is
often smaller than the tree of histories by many orders of magnitude. A policy on a graph is a function of
what the mover observes. It need not know how the game came there, although a responder may remember it.

Dimensions: `N` nodes (merged states), `E` edges (moves), `O` observations over all players, `A` actions, `P`
players, `D` numbers in an observation.

The edges of a node are contiguous, so a move leads over the edge `first_edge[node] + slot` to the node
`successor[edge]`. A tree is the special case in which each node but the root is behind exactly one edge.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import numpy as np

from acme_psro.games.tree import NO_INFOSET, TERMINAL, GameTree

# `GameGraph.seen_by` of a tree.
INFORMATION_STATES = "information states"
# Fields of `GameGraph` that are one array each.
ARRAYS = (
    "player", "observation", "first_edge", "num_children", "successor", "probability", "reward",
    "legal_actions", "info_state", "observation_offsets",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class GameGraph:
    """All states of a game, as arrays.

    Attributes:
      game_string: the game's name, which `load_game` takes, see `acme_psro.games.identity`.
      num_players: `P`.
      player: `[N]` int8, the player to move, `CHANCE` or `TERMINAL` of `acme_psro.games.tree`. Node 0 is the
        root.
      observation: `[N]` int32, the row of what the mover observes, or `NO_INFOSET` if no player moves.
      first_edge: `[N]` int32, the edge behind slot 0; 0 at terminal nodes. Slots are in the order of legal
        actions.
      num_children: `[N]` int32, the number of slots.
      successor: `[E]` int32, the node behind the edge.
      probability: `[E]` float64, the probability of the move if chance makes it, and 1 otherwise.
      reward: `[E, P]` float64, paid by the move, in the game's utility units.
      legal_actions: `[O, A]` bool.
      info_state: `[O, D]` float32, the numbers by which a network sees the observation.
      keys: `[O]` names of the observations, all different.
      observation_offsets: `[P + 1]` int. Observations are ordered by player; those of player p are
        `offsets[p]:offsets[p + 1]`.
      max_moves: no episode has more moves, those of chance included.
      is_cyclic: True if a state can come back. An episode then also ends after `max_moves` moves.
      seen_by: the description of a state of which `info_state` and `keys` are made, see
        `acme_psro.games.views`, or the information states of a tree.
      remark: a clause on a game that describes its states inconsistently, or nothing.
    """

    game_string: str
    num_players: int
    player: np.ndarray
    observation: np.ndarray
    first_edge: np.ndarray
    num_children: np.ndarray
    successor: np.ndarray
    probability: np.ndarray
    reward: np.ndarray
    legal_actions: np.ndarray
    info_state: np.ndarray
    keys: tuple[str, ...]
    observation_offsets: np.ndarray
    max_moves: int
    is_cyclic: bool
    seen_by: str = INFORMATION_STATES
    remark: str = ""

    @property
    def num_nodes(self) -> int:
        return len(self.player)

    @property
    def num_edges(self) -> int:
        return len(self.successor)

    @property
    def num_observations(self) -> int:
        return self.legal_actions.shape[0]

    @property
    def num_actions(self) -> int:
        return self.legal_actions.shape[1]

    def observations_of(self, player: int) -> slice:
        """Returns the slice of `O` that holds the player's observations."""
        return slice(int(self.observation_offsets[player]), int(self.observation_offsets[player + 1]))

    @property
    def num_rows(self) -> int:
        """The rows of a policy table, `O`, see `acme_psro.games.compiled`."""
        return self.num_observations

    def rows_of(self, player: int) -> slice:
        """Returns the player's rows in a policy table, see `acme_psro.games.compiled`."""
        return self.observations_of(player)

    @functools.cached_property
    def digest(self) -> str:
        """A digest of all arrays: the identity of the compiled game, whatever its name is."""
        digest = hashlib.sha256(f"graph {self.max_moves} {self.is_cyclic}".encode())
        for array in (getattr(self, name) for name in ARRAYS):
            digest.update(f"{array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        digest.update("\0".join((self.seen_by, self.remark, *self.keys)).encode())
        return digest.hexdigest()

    @functools.cached_property
    def source(self) -> np.ndarray:
        """Node before each edge, `[E]` int32."""
        source = np.empty(self.num_edges, np.int32)
        counts = self.num_children
        shift = np.repeat(self.first_edge - (np.cumsum(counts) - counts), counts)
        source[np.arange(self.num_edges) + shift] = np.repeat(
            np.arange(self.num_nodes, dtype=np.int32), counts
        )
        return source

    @functools.cached_property
    def slot(self) -> np.ndarray:
        """Position of each edge among the edges of its node, `[E]` int32."""
        return np.arange(self.num_edges, dtype=np.int32) - self.first_edge[self.source]

    @functools.cached_property
    def action_of_slot(self) -> np.ndarray:
        """Action of each slot, `[O, A]` int32. The illegal actions fill the slots after the legal ones."""
        return np.argsort(~self.legal_actions, axis=1, kind="stable").astype(np.int32)

    @functools.cached_property
    def entry(self) -> np.ndarray:
        """Entry of a policy table, `[O, A]` flattened, that a player's edge plays; -1 for chance, `[E]`."""
        row = self.observation[self.source].astype(np.int64)
        # Chance may have more slots than there are actions.
        slot = np.where(row == NO_INFOSET, 0, self.slot)
        action = self.action_of_slot[np.maximum(row, 0), slot]
        return np.where(row == NO_INFOSET, -1, row * self.num_actions + action)

    @functools.cached_property
    def zero_sum(self) -> bool:
        """True if the players' rewards sum to zero at each move."""
        return bool(np.abs(self.reward.sum(axis=1)).max(initial=0.0) < 1e-9)

    @functools.cached_property
    def utility_scale(self) -> float:
        """Largest absolute return of any player, or 1 if the game pays nothing."""
        return float(max(self._most_paid(self.reward), self._most_paid(-self.reward))) or 1.0

    @functools.cached_property
    def most_decisions(self) -> int:
        """The largest number of decisions of one player in an episode, see `acme_psro.games.compiled`."""
        mover = self.player[self.source]
        return round(self._most_paid((mover[:, None] == np.arange(self.num_players)).astype(np.float64)))

    def _most_paid(self, paid: np.ndarray) -> float:
        """Returns the largest sum over an episode, of any player, of what moves pay: `[E, P]`."""
        inner = np.flatnonzero(self.num_children)
        inner = inner[np.argsort(self.first_edge[inner])]
        most = np.zeros((self.num_nodes, self.num_players))
        # After t rounds, the largest sum of t moves from each node. Few rounds change anything.
        for _ in range(self.max_moves):
            before = most[inner]
            most[inner] = np.maximum.reduceat(paid + most[self.successor], self.first_edge[inner])
            if np.array_equal(before, most[inner]):
                break
        return float(most[0].max())

    def uniform_policy(self) -> np.ndarray:
        """Returns the policy that plays all legal actions with equal probability, `[O, A]` float64."""
        return self.legal_actions / self.legal_actions.sum(axis=1, keepdims=True)


def graph_of_tree(tree: GameTree) -> GameGraph:
    """Returns a compiled tree as a graph: observations are its information states, and no states are merged.

    Edge e leads to node e + 1. What the tree pays at its root is paid by the first move.
    """
    reward = tree.reward[1:].copy()
    begin = tree.first_child[0] - 1
    reward[begin : begin + tree.num_children[0]] += tree.reward[0]
    first = [int(offsets[0]) for offsets in tree.level_offsets]
    return GameGraph(
        game_string=tree.game_string,
        num_players=tree.num_players,
        player=tree.player,
        observation=tree.infoset,
        first_edge=np.where(tree.player == TERMINAL, 0, tree.first_child - 1).astype(np.int32),
        num_children=tree.num_children,
        successor=np.arange(1, tree.num_nodes, dtype=np.int32),
        probability=tree.probability[1:],
        reward=reward,
        legal_actions=tree.legal_actions,
        info_state=tree.info_state,
        keys=_with_players(tree),
        observation_offsets=np.array([*first, tree.num_infosets]),
        # The depth of the root is 0 and is counted as a level.
        max_moves=len(tree.depth_offsets) - 2,
        is_cyclic=False,
    )


def _with_players(tree: GameTree) -> tuple[str, ...]:
    """Returns the names of a tree's information states, which two players may share, with their players."""
    names: list[str] = []
    for player in range(tree.num_players):
        names.extend(f"{player}|{key}" for key in tree.keys[tree.infosets_of(player)])
    return tuple(names)

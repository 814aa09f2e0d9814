"""Nodes of merged states, and what their movers see, as a search of `merging.py` finds them."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyspiel

from acme_psro.games.loading import GameError
from acme_psro.games.moves import chance_outcomes, legal_actions, tell
from acme_psro.games.tree import CHANCE, NO_INFOSET, TERMINAL
from acme_psro.games.views import View, label
from acme_psro.games.walk import too_large

_PROGRESS_EVERY = 10_000
_MOST_CHARACTERS = 100
# Bytes for the names, legal actions and numbers of observations: so many for each node that is allowed, and
# so many in any case.
_BYTES_PER_NODE, _LEAST_BYTES = 800, 64 << 20


class MergeError(GameError):
    """States that cannot be told apart do not have the same future, or do not allow the same actions."""


class MergedGame(NamedTuple):
    """All nodes of a game, in the order in which a search met them.

    Attributes:
      player: `[N]` int8, as in `GameGraph`.
      observation: `[N]` int32, numbers of rows below, or `NO_INFOSET`.
      first_edge: `[N]` int32, as in `GameGraph`.
      num_children: `[N]` int32, as in `GameGraph`.
      successor: `[E]` int32.
      probability: `[E]` float64.
      reward: `[E, P]` float64.
      owner: `[O]` int32, the player who sees each observation.
      legal: `[O]` lists of legal actions, in ascending order.
      numbers: `[O, D]` float32, or None if the view has none.
      keys: `[O]` names of observations.
    """

    player: np.ndarray
    observation: np.ndarray
    first_edge: np.ndarray
    num_children: np.ndarray
    successor: np.ndarray
    probability: np.ndarray
    reward: np.ndarray
    owner: np.ndarray
    legal: list[list[int]]
    numbers: np.ndarray | None
    keys: tuple[str, ...]


class MergedNodes:
    """The nodes found so far, and the observations of their movers.

    Args:
      name: the game's name, see `acme_psro.games.identity`.
      num_players: the number of players.
      view: what players see.
      max_nodes: the largest number of nodes that is allowed.
      on_progress: called with the number of nodes found so far, every 10,000 nodes.
      merges_chance: if False, chance nodes are told apart by the node and the move that lead to them.

    Attributes:
      player: `[N]`, as in `GameGraph`.
      outcomes: the outcomes of chance nodes, with their probabilities.
    """

    def __init__(
        self,
        name: str,
        num_players: int,
        view: View,
        max_nodes: int,
        on_progress: Callable[[int], None] | None,
        merges_chance: bool,
    ) -> None:
        self._name, self._view, self._max_nodes = name, view, max_nodes
        self._on_progress, self._merges_chance = on_progress, merges_chance
        self.player, self._observation = array("b"), array("i")
        self.outcomes: dict[int, list[tuple[int, float]]] = {}
        self._index: dict[Any, int] = {}
        # What each player sees, at its own decisions or not, by number; and rows of what movers see.
        self._seen: list[dict[bytes | str, int]] = [{} for _ in range(num_players)]
        self._rows: dict[tuple[int, int], int] = {}
        self._keys: list[str] = []
        self._legal: list[list[int]] = []
        self._numbers = array("f")
        self._bytes_left = max(_LEAST_BYTES, _BYTES_PER_NODE * max_nodes)

    @property
    def num_observations(self) -> int:
        return len(self._legal)

    def find(self, state: Any, player: int, parent: int, action: int) -> tuple[Any, int | None]:
        """Returns the identity of a state, and its node if it is known.

        Args:
          state: the state.
          player: the player to move, as OpenSpiel numbers it.
          parent: the node before the state.
          action: the move that led to it.
        """
        if player == pyspiel.PlayerId.TERMINAL:
            identity: Any = player
        elif player == pyspiel.PlayerId.CHANCE and not self._merges_chance:
            identity = parent, action
        else:
            key = self._view.key
            seen = [known.setdefault(key(state, p), len(known)) for p, known in enumerate(self._seen)]
            identity = (str(state), player, *seen)
        return identity, self._index.get(identity)

    def add(self, identity: Any, state: Any, player: int) -> int:
        """Adds a node.

        Args:
          identity: its identity, see `find`.
          state: one of its states.
          player: the player to move, as OpenSpiel numbers it.

        Raises:
          MergeError: what the mover sees does not tell it which actions are legal.
          GameError: the game has too many nodes, or is inconsistent.
        """
        node = len(self.player)
        if node >= self._max_nodes:
            raise too_large(self._name, f"{node + 1:,} counted after merging", self._max_nodes)
        if self._on_progress and node and node % _PROGRESS_EVERY == 0:
            self._on_progress(node)
        self._index[identity] = node
        row, mover = NO_INFOSET, TERMINAL
        if player == pyspiel.PlayerId.CHANCE:
            mover = CHANCE
            self.outcomes[node] = chance_outcomes(self._name, state)
        elif player != pyspiel.PlayerId.TERMINAL:
            mover = player
            row = self._row(state, player, identity[2 + player])
        self.player.append(mover)
        self._observation.append(row)
        return node

    def moves_of(self, node: int) -> list[int]:
        """Returns the moves out of a node."""
        outcomes = self.outcomes.get(node)
        return (
            self._legal[self._observation[node]] if outcomes is None else [action for action, _ in outcomes]
        )

    def compare(self, node: int, state: Any) -> None:
        """Compares the moves that a state offers with those of its node.

        Raises:
          MergeError: they differ.
        """
        if self.player[node] == CHANCE:
            if state.chance_outcomes() != self.outcomes[node]:
                raise self.unmerged("in their chance outcomes", state)
        elif state.legal_actions() != self._legal[self._observation[node]]:
            raise self.unmerged("in their legal actions", state)

    def unmerged(self, where: str, state: Any) -> MergeError:
        """Returns the error for states that cannot be told apart and do not have the same future."""
        return MergeError(
            f"{self._name} cannot be compiled to a graph: histories that OpenSpiel describes in the same way "
            f"differ {where}, {tell(state)[:_MOST_CHARACTERS]}; choose another game, or a smaller one that "
            "compiles to a tree."
        )

    def result(
        self,
        first_edge: np.ndarray,
        num_children: np.ndarray,
        successor: np.ndarray,
        probability: np.ndarray,
        reward: np.ndarray,
    ) -> MergedGame:
        """Returns the merged game, given its edges. Its arrays share the memory of these nodes."""
        numbers = np.frombuffer(self._numbers, np.float32).reshape(len(self._legal), -1)
        return MergedGame(
            player=np.frombuffer(self.player, np.int8),
            observation=np.frombuffer(self._observation, np.int32),
            first_edge=first_edge,
            num_children=num_children,
            successor=successor,
            probability=probability,
            reward=reward,
            owner=np.array([player for player, _ in self._rows], np.int32),
            legal=self._legal,
            numbers=numbers if self._view.numbers else None,
            keys=tuple(self._keys),
        )

    def _row(self, state: Any, player: int, seen: int) -> int:
        """Returns the row of what the mover sees, which is added if it is new.

        Raises:
          MergeError: what the mover sees does not tell it which actions are legal.
          GameError: it needs too much memory.
        """
        actions = legal_actions(self._name, state)
        row = self._rows.setdefault((player, seen), len(self._legal))
        if row < len(self._legal):
            if self._legal[row] != actions:
                raise MergeError(
                    f"{self._name} does not tell its players which actions are legal: states with the same "
                    f"{self._view.name} allow different ones {tell(state)}; choose another game."
                )
            return row
        self._legal.append(actions)
        self._keys.append(label(player, self._view.key(state, player)))
        numbers = self._view.numbers(state, player) if self._view.numbers else []
        self._numbers.extend(numbers)
        self._bytes_left -= len(self._keys[-1]) + 8 * len(actions) + 4 * len(numbers)
        if self._bytes_left < 0:
            raise GameError(
                f"what the players of {self._name} see needs too much memory ({len(self._legal):,} "
                f"observations at {len(self.player):,} nodes so far): raise --max_nodes, or choose smaller "
                "game parameters."
            )
        return row

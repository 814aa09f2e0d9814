"""Policies of all members of both players in one network, for games that are simulated.

A member is named by a number: its index, plus `N` for each later version of the graph that is still in use.
Games that began with an earlier graph go on with their rows while new games get new ones. Members that are
fixed in a version play by policies of their own there.

Dimensions: `P` = 2 players, `N` members, `V` = 2 versions of the graph, `n` states, `A` actions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from acme_psro.games import playing
from acme_psro.games.batch_policies import BatchPolicy
from acme_psro.games.loading import load_game
from acme_psro.policies.networks import round_up
from agents.core import Observation

VERSIONS = 2
# Policies by player and index.
Policies = Mapping[tuple[int, int], BatchPolicy]
# Rows that the network is called with: as few as hold the states, so that it is compiled once for each.
_BUCKETS = (16, 64, 256, 1024)


def make_contexts(rows: np.ndarray, player: int) -> np.ndarray:
    """Returns contexts `[.., N + 1]` float32 of rows `[.., N]`: the row, and the player as a number."""
    seat = np.full((*rows.shape[:-1], 1), player)
    return np.concatenate([rows, seat], axis=-1).astype(np.float32)


class Members:
    """Members that play by the newest variables of one network, and the sinks.

    Args:
      game: OpenSpiel's name of the game.
      probs: (variables, Observation `[n, ..]`) -> probabilities `[n, A]`; jitted by the caller.
      variables: returns the newest variables.
      graph: `[P, N, N]`, the first graph.
      sinks: the sinks' policies by player; those of other players play uniformly.
      fixed: policies of the members that are fixed from the beginning, beside the sinks.

    Attributes:
      changes: number of times that the graph has changed.
    """

    def __init__(
        self,
        game: str,
        probs: Callable[[Any, Observation], Any],
        variables: Callable[[], Any],
        graph: np.ndarray,
        sinks: Mapping[int, BatchPolicy] = MappingProxyType({}),
        fixed: Policies = MappingProxyType({}),
    ) -> None:
        self._sinks = sinks
        self._fixed = [dict(fixed)] * VERSIONS
        self._observe = playing.make_observe(load_game(game))
        self._probs = probs
        self._variables = variables
        self._num_members = graph.shape[-1]
        self.changes = 0
        self._graphs = np.stack([graph] * VERSIONS)

    @property
    def version(self) -> int:
        """The graph's version that new games use, below `VERSIONS`."""
        return self.changes % VERSIONS

    @property
    def graph(self) -> np.ndarray:
        """The newest graph, `[P, N, N]`."""
        return np.asarray(self._graphs[self.version])

    @property
    def is_fixed(self) -> np.ndarray:
        """`[P, N]` bool: members that do not change any more by the newest graph, the sinks among them."""
        mask = np.zeros(self.graph.shape[:2], bool)
        mask[:, 0] = True
        for member in self._fixed[self.version]:
            mask[member] = True
        return mask

    @property
    def num_members(self) -> int:
        """Number of members of each player, `N`."""
        return self._num_members

    def number(self, index: np.ndarray) -> np.ndarray:
        """Returns the numbers of members `[n]` by the newest graph."""
        return np.asarray(index) + self.version * self._num_members

    def index(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the indices of members by their numbers."""
        return np.asarray(numbers) % self._num_members

    def is_free(self, numbers: np.ndarray) -> bool:
        """Returns True if games of members with these numbers leave room for a new graph."""
        return bool((np.asarray(numbers) // self._num_members == self.version).all())

    def renew(self, graph: np.ndarray, fixed: Policies = MappingProxyType({})) -> None:
        """Lets new games use another graph `[P, N, N]`, and these policies of fixed members.

        The graph before the present one is given up: see `is_free`.
        """
        self.changes += 1
        self._fixed[self.version] = dict(fixed)
        self._graphs[self.version] = graph

    def rows(self, player: int, numbers: np.ndarray) -> np.ndarray:
        """Returns the rows `[.., N]` of a player's members `[..]`."""
        numbers = np.asarray(numbers)
        return np.asarray(self._graphs[numbers // self._num_members, player, self.index(numbers)])

    def contexts(self, player: int, numbers: np.ndarray) -> np.ndarray:
        """Returns the contexts `[.., N + 1]` of a player's members `[..]`."""
        return make_contexts(self.rows(player, numbers), player)

    def probabilities(self, states: Sequence[Any], player: int, numbers: np.ndarray) -> np.ndarray:
        """Returns probabilities `[n, A]` float64 in `n` states, each for a member of its own.

        Args:
          states: the player is to move in all of them.
          player: the player.
          numbers: `[n]` int, the members.
        """
        seen = self._observe(states, player)
        legal = np.asarray(seen.legal_actions)
        found = self._ask(np.asarray(seen.info_state), legal, self.contexts(player, numbers))
        is_sink = self.index(numbers) == 0
        found[is_sink] = 1.0
        if player in self._sinks and is_sink.any():
            own = [states[index] for index in np.flatnonzero(is_sink)]
            found[is_sink] = self._sinks[player](own, player)
        for number in self._fixed_among(player, numbers):
            places = np.flatnonzero(numbers == number)
            policy = self._fixed[number // self._num_members][player, number % self._num_members]
            found[places] = policy([states[place] for place in places], player)
        whole = found * legal
        return np.asarray(whole / whole.sum(axis=1, keepdims=True))

    def _fixed_among(self, player: int, numbers: np.ndarray) -> list[int]:
        """Returns those of a player's numbers, each once, whose members are fixed in their version."""
        num = self._num_members
        return [
            number
            for number in np.unique(numbers).tolist()
            if (player, number % num) in self._fixed[number // num]
        ]

    def _ask(self, info_state: np.ndarray, legal: np.ndarray, context: np.ndarray) -> np.ndarray:
        """Returns the network's answers `[n, A]`, from calls with one of a few numbers of rows."""
        parts = []
        for start in range(0, len(legal), _BUCKETS[-1]):
            rows = slice(start, start + _BUCKETS[-1])
            count = len(legal[rows])
            padding = round_up(count, _BUCKETS) - count
            # In padding all actions are legal, so that a softmax over them is defined.
            padded: list[Any] = [
                np.pad(part[rows], ((0, padding), (0, 0)), constant_values=filling)
                for part, filling in ((info_state, 0.0), (legal, True), (context, 0.0))
            ]
            answer = self._probs(self._variables(), Observation(*padded))
            parts.append(np.asarray(answer, np.float64)[:count])
        return np.concatenate(parts)

    def policies(self) -> tuple[Any, ...]:
        """Returns the policies of all numbers, for a `GameBatch`, which asks them together."""
        return tuple(_Member(self, number) for number in range(VERSIONS * self._num_members))

    def __call__(
        self, numbers: Sequence[int], states: Sequence[Sequence[Any]], player: int
    ) -> list[np.ndarray]:
        """Returns the answers of several members, see `acme_psro.games.batch_policies.JointCall`."""
        counts = [len(own) for own in states]
        flat = [state for own in states for state in own]
        whole = self.probabilities(flat, player, np.repeat(np.asarray(numbers), counts))
        return np.split(whole, np.cumsum(counts)[:-1])


class _Member:
    """One member, as a batch policy that is asked together with the others.

    Args:
      members: all members.
      number: its number.

    Attributes:
      joint: the call for several members, and its number there.
    """

    def __init__(self, members: Members, number: int) -> None:
        self._members, self._number = members, number
        # The same object for all members, by which `GameBatch` recognises those that it may ask together.
        self.joint = (members, number)

    def __call__(self, states: Sequence[Any], player: int) -> np.ndarray:
        """Returns the probabilities `[n, A]` in `n` states."""
        return self._members.probabilities(states, player, np.full(len(states), self._number))

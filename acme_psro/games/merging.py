"""Search of all states of an OpenSpiel game, in which histories that cannot be told apart are merged.

Two histories lead to the same node if OpenSpiel describes both states by the same string, every player sees
the same, and the same player is to move. All ends of the game are one node, as rewards belong to moves.

The description might forget something on which the future depends. So every history that arrives at a known
node is compared with it: the legal actions or the chance outcomes must be the same. In a sample of arrivals
all moves are made, and must lead to the same nodes and pay the same. The sample contains the first arrivals,
which are all of a small game, and a share of the others. If one in ten thousand arrivals did not belong to
its node, a sample of 50,000 would miss all of them with a probability below 1 %.

At chance nodes some games do not describe the moves that the players have just made and chance is about to
carry out. These nodes can be told apart by the node and the move that lead to them instead.

The search proceeds by the number of moves, so a node is expanded from one of its shortest histories. This
matters if a game ends after a number of moves that its description does not contain.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyspiel

from acme_psro.games.loading import GameError, openspiel_errors
from acme_psro.games.merged_nodes import MergedGame as MergedGame
from acme_psro.games.merged_nodes import MergedNodes
from acme_psro.games.merged_nodes import MergeError as MergeError
from acme_psro.games.views import View

# Arrivals that are all looked behind, and the share of later ones.
_FIRST_ARRIVALS, _SHARE_OF_ARRIVALS = 20_000, 1 / 32
# OpenSpiel adds rewards up in its own order.
_ROUNDING = 1e-9


def merge_game(
    name: str,
    game: pyspiel.Game,
    view: View,
    horizon: int,
    max_nodes: int,
    on_progress: Callable[[int], None] | None = None,
    merges_chance: bool = True,
) -> MergedGame:
    """Finds all states of a game.

    Args:
      name: the game's name, see `acme_psro.games.identity`.
      game: the game, in turn-based form and with explicit chance events.
      view: what players see.
      horizon: the number of moves after which a play may be over although its description does not tell it.
      max_nodes: the largest number of nodes that is allowed.
      on_progress: called with the number of nodes found so far, every 10,000 nodes.
      merges_chance: if False, chance nodes are told apart by the node and the move that lead to them.

    Raises:
      MergeError: states that cannot be told apart do not have the same future.
      GameError: the game has more than `max_nodes` nodes or no decisions, or it is inconsistent.
    """
    nodes = MergedNodes(name, game.num_players(), view, max_nodes, on_progress, merges_chance)
    search = _Search(game, nodes, horizon, merges_chance)
    root = game.new_initial_state()
    with openspiel_errors(name):
        if any(root.returns()):
            raise GameError(f"{name} pays before its first move: choose another game.")
        search.run(root)
    if not nodes.num_observations:
        raise GameError(f"nobody decides anything in {name}: choose other game parameters.")
    return search.result()


class _Arrival(NamedTuple):
    """A state that has arrived at a known node, after some moves."""

    node: int
    state: Any
    moves: int


class _Search:
    """A search in progress, with the edges that it has met so far."""

    def __init__(self, game: pyspiel.Game, nodes: MergedNodes, horizon: int, merges_chance: bool) -> None:
        self.nodes, self.horizon, self.merges_chance = nodes, horizon, merges_chance
        self.pays_at_end = game.get_type().reward_model == pyspiel.GameType.RewardModel.TERMINAL
        self.nothing = [0.0] * game.num_players()
        # -1 until a node is expanded.
        self.first_edge = array("i")
        self.num_children, self.successor = array("i"), array("i")
        self.probability, self.reward = array("d"), array("d")
        self.frontier: list[tuple[int, Any]] = []
        self.sampled: list[_Arrival] = []
        self.arrivals = 0
        self.rng = random.Random(0)

    def run(self, root: Any) -> None:
        """Finds all nodes behind the root.

        Raises:
          GameError: see `merge_game`.
        """
        self._arrive(root, 0, -1, -1)
        moves = 0
        while self.frontier:
            states, self.frontier = self.frontier, []
            moves += 1
            for node, state in states:
                self._expand(node, state, moves)
            sampled, self.sampled = self.sampled, []
            for arrival in sampled:
                self._look_behind(arrival)
        # What is left waited for chance nodes, which are all expanded now.
        while self.sampled:
            self._look_behind(self.sampled.pop())

    def result(self) -> MergedGame:
        """Returns the merged game. Its arrays share the memory of this search."""
        return self.nodes.result(
            first_edge=np.maximum(np.frombuffer(self.first_edge, np.int32), 0),
            num_children=np.frombuffer(self.num_children, np.int32),
            successor=np.frombuffer(self.successor, np.int32),
            probability=np.frombuffer(self.probability),
            reward=np.frombuffer(self.reward).reshape(-1, len(self.nothing)),
        )

    def _arrive(self, state: Any, moves: int, parent: int, action: int) -> int:
        """Returns the node of a state, which is added if it is new.

        Raises:
          MergeError: the state does not offer the same moves as its node.
          GameError: the game has too many nodes, or is inconsistent.
        """
        player = state.current_player()
        identity, node = self.nodes.find(state, player, parent, action)
        is_over = player == pyspiel.PlayerId.TERMINAL
        if node is None:
            node = self.nodes.add(identity, state, player)
            self.first_edge.append(-1)
            self.num_children.append(0)
            if not is_over:
                self.frontier.append((node, state))
        elif not is_over:
            self.nodes.compare(node, state)
            self.arrivals += 1
            if self.arrivals <= _FIRST_ARRIVALS or self.rng.random() < _SHARE_OF_ARRIVALS:
                self.sampled.append(_Arrival(node, state, moves))
        return node

    def _expand(self, node: int, state: Any, moves: int) -> None:
        """Makes all moves out of a node; `moves` is the number of moves after each of them."""
        actions = self.nodes.moves_of(node)
        self.first_edge[node], self.num_children[node] = len(self.successor), len(actions)
        for action, (child, paid) in zip(actions, self._behind(state, actions), strict=True):
            self.successor.append(self._arrive(child, moves, node, action))
            self.reward.extend(paid)
        outcomes = self.nodes.outcomes.get(node)
        self.probability.extend((1.0,) * len(actions) if outcomes is None else [p for _, p in outcomes])

    def _behind(self, state: Any, actions: Sequence[int]) -> Iterator[tuple[Any, Sequence[float]]]:
        """Generates the states behind moves with what the moves pay. The last move changes `state` itself."""
        before = self.nothing if self.pays_at_end else state.returns()
        for action in actions[:-1]:
            child = state.child(action)
            yield child, self._paid(child, before)
        state.apply_action(actions[-1])
        yield state, self._paid(state, before)

    def _paid(self, state: Any, before: Sequence[float]) -> Sequence[float]:
        """Returns what the last move to a state paid, given the returns before it."""
        if self.pays_at_end:
            return state.returns() if state.is_terminal() else self.nothing
        return [now - then for now, then in zip(state.returns(), before, strict=True)]

    def _look_behind(self, arrival: _Arrival) -> None:
        """Makes all moves out of a state that has arrived at a node, and compares them with the node's edges.

        Raises:
          MergeError: a move leads to another node or pays something else.
        """
        node, state, moves = arrival
        # A node of the frontier must be expanded first.
        if self.first_edge[node] < 0:
            self.sampled.append(arrival)
            return
        self.nodes.compare(node, state)
        actions, size = self.nodes.moves_of(node), len(self.nothing)
        for edge, (child, paid) in enumerate(self._behind(state, actions), self.first_edge[node]):
            player, action = child.current_player(), actions[edge - self.first_edge[node]]
            _, found = self.nodes.find(child, player, node, action)
            if found != self.successor[edge]:
                # After the last move the game is over, although the description need not tell it.
                if player == pyspiel.PlayerId.TERMINAL and moves + 1 >= self.horizon:
                    continue
                raise self.nodes.unmerged("in what the last move leads to", child)
            known = self.reward[size * edge : size * edge + size]
            if any(abs(one - other) > _ROUNDING for one, other in zip(paid, known, strict=True)):
                raise self.nodes.unmerged("in what the last move pays", child)
            if player != pyspiel.PlayerId.TERMINAL:
                self.nodes.compare(found, child)
            # Such a chance node is the same by definition, so a difference can only be behind it.
            if player == pyspiel.PlayerId.CHANCE and not self.merges_chance:
                self._look_behind(_Arrival(found, child.clone(), moves + 1))

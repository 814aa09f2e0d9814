"""Enumeration of an OpenSpiel game: a depth-first walk through all its histories."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pyspiel

from acme_psro.games.information_states import extend_name, has_strings
from acme_psro.games.layout import WalkedGame, lay_out
from acme_psro.games.loading import GameError, openspiel_errors
from acme_psro.games.moves import chance_outcomes, legal_actions
from acme_psro.games.tree import CHANCE, NO_INFOSET, TERMINAL, GameTree

_PROGRESS_EVERY = 100_000
# Bytes for the names, legal actions and observations of information states: so many for each node that is
# allowed, and so many in any case.
_BYTES_PER_NODE, _LEAST_BYTES = 800, 64 << 20
# Longer plays are of games without an end, and each state on the way keeps its whole history.
_MOST_MOVES = 2_000
_MOST_CHARACTERS = 100


def too_large(name: str, count: str, max_nodes: int) -> GameError:
    """Returns the error for a game that has more nodes than allowed.

    Args:
      name: the game.
      count: a text that tells how many nodes are known of.
      max_nodes: the largest number that is allowed.
    """
    return GameError(
        f"{name} has more than {max_nodes:,} nodes ({count}): raise --max_nodes, "
        "or choose smaller game parameters."
    )


def enumerate_game(
    name: str, game: pyspiel.Game, max_nodes: int, on_progress: Callable[[int], None] | None = None
) -> GameTree:
    """Enumerates all histories of a game.

    Args:
      name: the game's name, see `acme_psro.games.identity`.
      game: the game, in turn-based form and with explicit chance events.
      max_nodes: the largest number of nodes that is allowed.
      on_progress: called with the number of nodes found so far, every 100,000 nodes.

    Returns:
      The game as arrays.

    Raises:
      GameError: the game has more than `max_nodes` nodes, plays without an end, no decisions or no perfect
        recall, has different legal actions at two nodes of one information state, a decision without actions
        or chance probabilities that are no distribution, or its observations need too much memory.
    """
    walk = _Walk(name, game, max_nodes, on_progress)
    with openspiel_errors(name):
        walk.run()
    if not walk.legal:
        raise GameError(f"nobody decides anything in {name}: choose other game parameters.")
    return lay_out(walk.result())


class _Walk:
    """A walk in progress, with the fields of the nodes and information states that it has met so far.

    All children of a node are numbered when the node is visited, so their numbers are contiguous.
    `array.array` grows like a list, but stores plain numbers, which matters for millions of nodes.
    """

    def __init__(
        self, name: str, game: pyspiel.Game, max_nodes: int, on_progress: Callable[[int], None] | None
    ) -> None:
        self.name = name
        self.game = game
        self.max_nodes = max_nodes
        self.on_progress = on_progress
        game_type = game.get_type()
        self.pays_at_end = game_type.reward_model == pyspiel.GameType.RewardModel.TERMINAL
        self.observe = _observer(game)
        self.has_strings = has_strings(game)
        self.player, self.infoset = array("b"), array("i")
        self.depth, self.parent, self.slot = array("i"), array("i"), array("i")
        self.first_child, self.num_children = array("i"), array("i")
        self.probability, self.returns = array("d"), array("d")
        # Information states by player and identity. A dictionary keeps the order of insertion, so its keys
        # lie in the order of the numbers.
        self.index: dict[tuple[int, str], int] = {}
        self.names: list[str] = []
        self.legal: list[list[int]] = []
        self.observations = array("f")
        self.bytes_left = max(_LEAST_BYTES, _BYTES_PER_NODE * max_nodes)

    def run(self) -> None:
        """Visits all nodes.

        Raises:
          GameError: the game has too many nodes, or is inconsistent.
        """
        self._allocate(0, 0, 1)
        self.parent[0] = 0
        # An explicit stack, because games may be deeper than Python's limit of recursion.
        stack: list[tuple[int, Any]] = [(0, self.game.new_initial_state())]
        while stack:
            node, state = stack.pop()
            actions, probabilities = self._visit(node, state)
            if not actions:
                continue
            if self.depth[node] >= _MOST_MOVES:
                raise GameError(
                    f"{self.name} has plays of more than {_MOST_MOVES:,} moves, too long to be enumerated: "
                    "choose parameters that make it shorter."
                )
            first = len(self.player)
            self.first_child[node] = first
            self.num_children[node] = len(actions)
            self._allocate(node, self.depth[node] + 1, len(actions))
            for child, action in enumerate(actions[:-1], first):
                stack.append((child, state.child(action)))
            # The state is not needed any more, so the last child may change it instead of copying it.
            state.apply_action(actions[-1])
            stack.append((first + len(actions) - 1, state))
            if probabilities:
                self.probability[first:] = array("d", probabilities)

    def result(self) -> WalkedGame:
        """Returns the walked game. Its arrays share the memory of this walk."""
        owner = np.array([player for player, _ in self.index], np.int32)
        observations = None
        if self.observe:
            observations = np.frombuffer(self.observations, np.float32).reshape(len(owner), -1)
        return WalkedGame(
            game_string=self.name,
            num_players=self.game.num_players(),
            num_actions=self.game.num_distinct_actions(),
            pays_at_end=self.pays_at_end,
            player=np.frombuffer(self.player, np.int8),
            infoset=np.frombuffer(self.infoset, np.int32),
            depth=np.frombuffer(self.depth, np.int32),
            parent=np.frombuffer(self.parent, np.int32),
            slot=np.frombuffer(self.slot, np.int32),
            first_child=np.frombuffer(self.first_child, np.int32),
            num_children=np.frombuffer(self.num_children, np.int32),
            probability=np.frombuffer(self.probability),
            returns=np.frombuffer(self.returns).reshape(-1, self.game.num_players()),
            owner=owner,
            legal=self.legal,
            observations=observations,
            keys=tuple(self.names),
        )

    def _allocate(self, parent: int, depth: int, count: int) -> None:
        """Appends `count` nodes with default values, the children of one parent.

        Raises:
          GameError: the game has too many nodes.
        """
        before = len(self.player)
        if before + count > self.max_nodes:
            raise too_large(self.name, f"{before + count:,} counted", self.max_nodes)
        if self.on_progress and (before + count) // _PROGRESS_EVERY > before // _PROGRESS_EVERY:
            self.on_progress(before + count)
        zeros = (0,) * count
        self.player.extend(zeros)
        self.infoset.extend((NO_INFOSET,) * count)
        self.depth.extend((depth,) * count)
        self.parent.extend((parent,) * count)
        self.slot.extend(range(count))
        self.first_child.extend(zeros)
        self.num_children.extend(zeros)
        self.probability.extend((1.0,) * count)
        self.returns.extend((0.0,) * (count * self.game.num_players()))

    def _visit(self, node: int, state: Any) -> tuple[list[int], list[float]]:
        """Fills in the fields of a node.

        Returns:
          The moves that lead out of the node, and their probabilities. The probabilities are empty unless it
          is a chance node.

        Raises:
          GameError: the legal actions differ from those at another node of the same information state.
        """
        player = state.current_player()
        if player == pyspiel.PlayerId.TERMINAL or not self.pays_at_end:
            players = self.game.num_players()
            self.returns[node * players : (node + 1) * players] = array("d", state.returns())
        if player == pyspiel.PlayerId.TERMINAL:
            self.player[node] = TERMINAL
            return [], []
        if player == pyspiel.PlayerId.CHANCE:
            self.player[node] = CHANCE
            outcomes = chance_outcomes(self.name, state)
            return [action for action, _ in outcomes], [probability for _, probability in outcomes]
        self.player[node] = player
        actions = legal_actions(self.name, state)
        identity = (player, self._identity(node, state, player))
        infoset = self.index.setdefault(identity, len(self.legal))
        if infoset == len(self.legal):
            self._add_infoset(identity[1], actions, state, player)
        elif self.legal[infoset] != actions:
            raise self._different_actions(identity[1])
        self.infoset[node] = infoset
        return actions, []

    def _add_infoset(self, name: str, actions: list[int], state: Any, player: int) -> None:
        """Adds an information state that is met for the first time.

        Raises:
          GameError: the observations need too much memory.
        """
        self.names.append(name)
        self.legal.append(actions)
        observation = self.observe(state, player) if self.observe else []
        self.observations.extend(observation)
        self.bytes_left -= len(name) + 8 * len(actions) + 4 * len(observation)
        if self.bytes_left < 0:
            raise GameError(
                f"the observations and names of {self.name} need too much memory ({len(self.legal):,} "
                f"information states at {len(self.player):,} nodes so far, for {self.max_nodes:,} nodes at "
                f"most): raise --max_nodes, or choose smaller game parameters."
            )

    def _different_actions(self, name: str) -> GameError:
        """Returns the error for an information state whose nodes have different legal actions."""
        shown = repr(name)[:_MOST_CHARACTERS]
        if self.has_strings:
            return GameError(f"{self.name} is inconsistent: {shown} allows different actions.")
        return GameError(
            f"{self.name} does not tell its players which actions are legal: the observation {shown} allows "
            "different actions; choose a game whose observations determine them."
        )

    def _identity(self, node: int, state: Any, player: int) -> str:
        """Returns the name of the information state, as `information_states.make_namer` tells it."""
        if self.has_strings:
            return state.information_state_string(player)
        # Climb to the player's last decision. The loop also ends at the root, which is node 0.
        child, parent = node, self.parent[node]
        while child and self.player[parent] != player:
            child, parent = parent, self.parent[parent]
        if not child:
            return extend_name(None, 0, state.observation_string(player))
        infoset = self.infoset[parent]
        action = self.legal[infoset][self.slot[child]]
        return extend_name(self.names[infoset], action, state.observation_string(player))


def _observer(game: pyspiel.Game) -> Callable[[Any, int], list[float]] | None:
    """Returns the function `(state, player) -> [D]` that observes a state, or None without tensors."""
    game_type = game.get_type()
    if game_type.provides_information_state_tensor:
        return lambda state, player: state.information_state_tensor(player)
    if game_type.provides_observation_tensor:
        return lambda state, player: state.observation_tensor(player)
    return None

"""Walks an OpenSpiel game once and lays it out as a `GameTree`."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pyspiel

from acme_psro.games.loading import GameError
from acme_psro.games.tree import CHANCE, NO_INFOSET, TERMINAL, GameTree

# A table of one-hot observations is I by I; beyond this it would fill the memory.
_MAX_ONE_HOT = 64_000_000
_PROGRESS_EVERY = 100_000


def too_large(game: pyspiel.Game, count: int, max_nodes: int) -> GameError:
    """The refusal of a game that has more nodes than allowed."""
    return GameError(
        f"{game} has more than {max_nodes:,} nodes ({count:,} counted): raise --max_nodes, "
        "or choose smaller game parameters."
    )


def enumerate_game(
    game: pyspiel.Game, max_nodes: int, on_progress: Callable[[int], None] | None = None
) -> GameTree:
    """Walks the whole game depth first and returns its arrays.

    Raises:
      GameError: above `max_nodes`, without decisions or perfect recall, or with information states that
        disagree on the legal actions.
    """
    walk = _Walk(game, max_nodes, on_progress)
    walk.run()
    if not walk.legal:
        raise GameError(f"nobody decides anything in {game}: choose other game parameters.")
    return _assemble(game, walk)


class _Walk:
    """Node and information state fields as they are met: children get contiguous numbers."""

    def __init__(self, game: pyspiel.Game, max_nodes: int, on_progress: Callable[[int], None] | None) -> None:
        self.game = game
        self.max_nodes = max_nodes
        self.on_progress = on_progress
        kind = game.get_type()
        self.pays_at_end = kind.reward_model == pyspiel.GameType.RewardModel.TERMINAL
        self.observe = _observer(game)
        self.has_names = kind.provides_information_state_string
        self.player, self.infoset = array("b"), array("i")
        self.depth, self.parent, self.slot = array("i"), array("i"), array("i")
        self.first_child, self.num_children = array("i"), array("i")
        self.probability, self.returns = array("d"), array("d")
        self.index: dict[tuple[int, str], int] = {}
        self.legal: list[list[int]] = []
        self.observations = array("f")

    def run(self) -> None:
        self._allocate(0, 0, 1)
        self.parent[0] = 0
        stack: list[tuple[int, Any]] = [(0, self.game.new_initial_state())]
        while stack:
            node, state = stack.pop()
            actions = self._visit(node, state)
            if not actions:
                continue
            first = len(self.player)
            self.first_child[node] = first
            self.num_children[node] = len(actions)
            self._allocate(node, self.depth[node] + 1, len(actions))
            for child, action in enumerate(actions[:-1], first):
                stack.append((child, state.child(action)))
            state.apply_action(actions[-1])
            stack.append((first + len(actions) - 1, state))
            if self.player[node] == CHANCE:
                self.probability[first:] = array("d", self.outcome_probabilities)

    def _allocate(self, parent: int, depth: int, count: int) -> None:
        before = len(self.player)
        if before + count > self.max_nodes:
            raise too_large(self.game, before + count, self.max_nodes)
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

    def _visit(self, node: int, state: Any) -> list[int]:
        """Fills in what is known at the node; returns the moves out of it."""
        player = state.current_player()
        if player == pyspiel.PlayerId.TERMINAL or not self.pays_at_end:
            players = self.game.num_players()
            self.returns[node * players : (node + 1) * players] = array("d", state.returns())
        if player == pyspiel.PlayerId.TERMINAL:
            self.player[node] = TERMINAL
            return []
        if player == pyspiel.PlayerId.CHANCE:
            self.player[node] = CHANCE
            outcomes = state.chance_outcomes()
            self.outcome_probabilities = [probability for _, probability in outcomes]
            return [action for action, _ in outcomes]
        self.player[node] = player
        actions = state.legal_actions()
        key = (player, self._identity(node, state, player))
        infoset = self.index.setdefault(key, len(self.legal))
        if infoset == len(self.legal):
            self.legal.append(actions)
            if self.observe:
                self.observations.extend(self.observe(state, player))
        elif self.legal[infoset] != actions:
            raise GameError(f"{self.game} is inconsistent: {key[1]!r} allows different actions.")
        self.infoset[node] = infoset
        return actions

    def _identity(self, node: int, state: Any, player: int) -> str:
        """What tells the player's information states apart.

        A game without information state strings is told apart by what its player has seen and done at its
        own turns, which is perfect recall by construction.
        """
        if self.has_names:
            return state.information_state_string(player)
        child, parent = node, self.parent[node]
        while child and self.player[parent] != player:
            child, parent = parent, self.parent[parent]
        before = f"{self.infoset[parent]}/{self.slot[child]}" if child else ""
        return f"{before}|{state.observation_string(player)}"


def _observer(game: pyspiel.Game) -> Callable[[Any, int], list[float]] | None:
    kind = game.get_type()
    if kind.provides_information_state_tensor:
        return lambda state, player: state.information_state_tensor(player)
    if kind.provides_observation_tensor:
        return lambda state, player: state.observation_tensor(player)
    return None


def _assemble(game: pyspiel.Game, walk: _Walk) -> GameTree:
    """Orders nodes by depth and information states by player and level."""
    players, actions = game.num_players(), game.num_distinct_actions()
    depth = np.frombuffer(walk.depth, np.int32)
    order = np.argsort(depth, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    returns = np.frombuffer(walk.returns).reshape(-1, players)[order]
    parent = place[np.frombuffer(walk.parent, np.int32)[order]].astype(np.int32)
    player = np.frombuffer(walk.player, np.int8)[order]
    legal = np.zeros((len(walk.legal), actions), bool)
    for row, allowed in zip(legal, walk.legal, strict=True):
        row[allowed] = True
    owner = np.array([key[0] for key in walk.index], np.int32)
    first_child = np.frombuffer(walk.first_child, np.int32)[order]
    if walk.pays_at_end:
        reward = returns
    else:
        reward = returns - np.where(np.arange(len(parent))[:, None] == 0, 0.0, returns[parent])
    tree = GameTree(
        game_string=str(game),
        num_players=players,
        player=player,
        infoset=np.frombuffer(walk.infoset, np.int32)[order],
        parent=parent,
        slot=np.frombuffer(walk.slot, np.int32)[order],
        first_child=np.where(first_child > 0, place[first_child], 0).astype(np.int32),
        num_children=np.frombuffer(walk.num_children, np.int32)[order],
        probability=np.frombuffer(walk.probability)[order],
        reward=reward,
        depth_offsets=np.searchsorted(depth[order], np.arange(depth.max() + 2)),
        level_offsets=(),
        legal_actions=legal,
        info_state=_observations(walk, owner),
        keys=tuple(key[1] for key in walk.index),
    )
    return _order_infosets(tree, owner)


def _observations(walk: _Walk, owner: np.ndarray) -> np.ndarray:
    if walk.observe:
        return np.frombuffer(walk.observations, np.float32).reshape(len(owner), -1)
    counts = np.bincount(owner)
    width = int(counts.max())
    if len(owner) * width > _MAX_ONE_HOT:
        raise GameError(
            f"{walk.game} offers no tensors, and its {len(owner):,} information states are too many for "
            "one-hot observations: choose smaller game parameters."
        )
    rank = np.zeros(len(owner), int)
    for player, count in enumerate(counts):
        rank[owner == player] = np.arange(count)
    return np.eye(width, dtype=np.float32)[rank]


def _order_infosets(tree: GameTree, owner: np.ndarray) -> GameTree:
    """Sorts information states by player and level, and checks perfect recall."""
    nodes = np.flatnonzero(tree.infoset != NO_INFOSET)
    infosets = tree.infoset[nodes]
    own_sequence = tree.sequences[nodes, tree.player[nodes]]
    if (tree.parent_sequence[infosets] != own_sequence).any():
        forgetful = infosets[np.argmax(tree.parent_sequence[infosets] != own_sequence)]
        raise GameError(
            f"{tree.game_string} lacks perfect recall at {tree.keys[forgetful]!r}: its player reaches it by "
            "different choices of its own; choose a game with perfect recall."
        )
    level = _levels(tree)
    order = np.lexsort((np.arange(len(owner)), level, owner))
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    sorted_owner, sorted_level = owner[order], level[order]
    offsets = []
    for player in range(tree.num_players):
        levels = sorted_level[sorted_owner == player]
        start = int(np.searchsorted(sorted_owner, player))
        top = int(levels.max()) + 2 if len(levels) else 1
        offsets.append(start + np.searchsorted(levels, np.arange(top)))
    return dataclasses.replace(
        tree,
        infoset=np.where(tree.infoset == NO_INFOSET, NO_INFOSET, place[tree.infoset]).astype(np.int32),
        level_offsets=tuple(offsets),
        legal_actions=tree.legal_actions[order],
        info_state=tree.info_state[order],
        keys=tuple(tree.keys[i] for i in order),
    )


def _levels(tree: GameTree) -> np.ndarray:
    """`[I]`: how many decisions of its own player precede an information state."""
    before = tree.parent_sequence // tree.num_actions
    level = np.zeros(tree.num_infosets, np.int32)
    current = np.arange(tree.num_infosets)
    while True:
        parents = before[current]
        deeper = parents < tree.num_infosets
        if not deeper.any():
            return level
        level += deeper
        current = np.where(deeper, parents, current)
        # An information state at the top stays there: its parent is the empty sequence for good.

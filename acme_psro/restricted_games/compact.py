"""Restricted games as flat arrays without anything that their players cannot do, for many passes over them.

Three things are left out: terminal nodes to which some player's allowed actions do not lead, information
states on the way to no other terminal node, and *forced* moves, which are those at information states with
one allowed action. A sequence that ends with a forced move is the same as the sequence before it.

Dimensions of one player: `K` compact sequences, of which number 0 is the empty one, and `J` information
states at which the player has a choice. Sequences that end at one information state are contiguous, and
information states that follow one sequence are contiguous within their level, so that `np.add.reduceat`
computes all sums. `T` is the number of terminal nodes that are left.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse

from acme_psro.games import sequence_form
from acme_psro.games.tree import GameTree


class Level(NamedTuple):
    """One level of the tree, as far as the player has choices there.

    Attributes:
      sequences: the level's slice of sequences `K`.
      choices: the same slice of arrays `[K - 1]`, which leave out the empty sequence.
      infosets: the level's slice of `J`.
      first: for each information state its first sequence, counted from the level's first one.
      before: for each sequence the sequence that it extends.
      parents: the different sequences that the information states follow.
      groups: for each parent the first information state that follows it, counted from the level's first one.
    """

    sequences: slice
    choices: slice
    infosets: slice
    first: np.ndarray
    before: np.ndarray
    parents: np.ndarray
    groups: np.ndarray


class CompactPlayer(NamedTuple):
    """Sequences and information states of one player.

    Attributes:
      cells: `[K - 1]` int, sequences of the tree, `infoset * A + action`, for which sequences 1, 2, .. stand.
      owner: `[K - 1]` int, the information states at which they end, in `J`.
      first: `[J]` int, the first sequence of each information state, counted from sequence 1.
      levels: the levels that have choices.
    """

    cells: np.ndarray
    owner: np.ndarray
    first: np.ndarray
    levels: tuple[Level, ...]

    def probabilities(self, weights: np.ndarray) -> np.ndarray:
        """Computes probabilities `[K - 1]` in proportion to weights `[K - 1]`, equal ones if all are 0."""
        if not len(weights):
            return weights
        totals = np.add.reduceat(weights, self.first)
        # Quotients of the smallest numbers of float64, which have few digits, do not add up to 1.
        none = totals < np.finfo(np.float64).tiny
        if none.any():
            weights = np.where(none[self.owner], 1.0, weights)
            totals = np.where(none, np.diff(self.first, append=len(weights)), totals)
        return weights / totals[self.owner]

    def plan(self, probabilities: np.ndarray) -> np.ndarray:
        """Computes the realisation plan `[K]` of probabilities `[K - 1]`."""
        plan = np.empty(len(self.cells) + 1)
        plan[0] = 1.0
        for level in self.levels:
            plan[level.sequences] = plan[level.before] * probabilities[level.choices]
        return plan

    def add_later_values(self, values: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Adds to the value of each sequence, in place, what its player earns by longer ones.

        Args:
          values: `[K]`, see `CompactGame.values`.
          probabilities: `[K - 1]`, the player's policy.

        Returns:
          `[J]`, the values of information states.
        """
        earned = np.empty(len(self.first))
        # From the last level to the first, so that the values of later decisions are complete.
        for level in reversed(self.levels):
            weighted = values[level.sequences] * probabilities[level.choices]
            earned[level.infosets] = np.add.reduceat(weighted, level.first)
            values[level.parents] += np.add.reduceat(earned[level.infosets], level.groups)
        return earned

    def best_value(self, values: np.ndarray) -> float:
        """Computes what a best response earns, from `[K]` values, see `CompactGame.values`."""
        values = values.copy()
        for level in reversed(self.levels):
            best = np.maximum.reduceat(values[level.sequences], level.first)
            values[level.parents] += np.add.reduceat(best, level.groups)
        return float(values[0])


class CompactGame(NamedTuple):
    """A restricted game in compact form. The plans of a policy are one `[K]` array for each player.

    Attributes:
      players: one record for each player.
      ends: for each player `[T]` int, its last sequence at each terminal node.
      payoffs: for each player a sparse matrix of returns times chance's probabilities. It has one row for
        each sequence of the player, and one column for each sequence of the other player if there are two
        players, or one for each terminal node otherwise.
    """

    players: tuple[CompactPlayer, ...]
    ends: tuple[np.ndarray, ...]
    payoffs: tuple[scipy.sparse.csr_matrix, ...]

    def values(self, plans: Sequence[np.ndarray], player: int) -> np.ndarray:
        """Computes what each sequence `[K]` of a player earns if it is the player's last one.

        Payoffs are weighted by the probabilities with which chance and the other players reach them.
        """
        if len(self.players) == 2:
            return self.payoffs[player] @ plans[1 - player]
        reach = np.ones(len(self.ends[player]))
        for other, ends in enumerate(self.ends):
            if other != player:
                reach *= plans[other][ends]
        return self.payoffs[player] @ reach

    def nash_conv(self, plans: Sequence[np.ndarray]) -> float:
        """Computes what all players together gain by their best responses among allowed actions."""
        gain = 0.0
        for player, own in enumerate(self.players):
            values = self.values(plans, player)
            gain += own.best_value(values) - float(values @ plans[player])
        return gain

    def plans(self, table: np.ndarray) -> tuple[np.ndarray, ...]:
        """Computes the plans of a policy table `[I, A]`, of which only allowed actions are used."""
        weights = table.ravel()
        return tuple(own.plan(own.probabilities(weights[own.cells])) for own in self.players)

    def table(self, plans: Sequence[np.ndarray], allowed: np.ndarray) -> np.ndarray:
        """Computes the policy table `[I, A]` of plans, or of their multiples.

        Args:
          plans: the plans.
          allowed: `[I, A]` bool, the actions of the restricted game. They are equally probable at information
            states to which the player's plan or the allowed actions of the others do not lead.
        """
        table = allowed / allowed.sum(axis=1, keepdims=True)
        for own, plan in zip(self.players, plans, strict=True):
            table.ravel()[own.cells] = own.probabilities(plan[1:])
        return table


def compact_game(tree: GameTree, allowed: np.ndarray) -> CompactGame:
    """Returns the compact form of a restricted game.

    Args:
      tree: the compiled game.
      allowed: `[I, A]` bool, the actions of the restricted game, at least one at each information state.
    """
    terminals = sequence_form.used_terminals(tree, sequence_form.own_reach(tree, allowed))
    left = np.flatnonzero(terminals)
    used = sequence_form.used_sequences(tree, terminals)[:-1].reshape(allowed.shape).any(axis=1)
    # The compact sequence for which each sequence of the tree stands; the empty one is 0.
    numbers = np.zeros(tree.empty_sequence + 1, np.intp)
    players = tuple(_number(tree, allowed, used, player, numbers) for player in range(tree.num_players))
    ends = tuple(numbers[tree.terminal_sequences[:, left]])
    sizes = [len(own.cells) + 1 for own in players]
    payoffs = []
    for player in range(len(players)):
        two = len(players) == 2
        columns = ends[1 - player] if two else np.arange(len(left))
        shape = (sizes[player], sizes[1 - player] if two else len(left))
        # Terminal nodes with the same row and column become one entry.
        entries = (tree.terminal_returns[player, left], (ends[player], columns))
        payoffs.append(scipy.sparse.csr_matrix(entries, shape))
    return CompactGame(players, ends, tuple(payoffs))


def _number(
    tree: GameTree, allowed: np.ndarray, used: np.ndarray, player: int, numbers: np.ndarray
) -> CompactPlayer:
    """Numbers a player's compact sequences.

    Args:
      tree: the compiled game.
      allowed: `[I, A]` bool, the actions of the restricted game.
      used: `[I]` bool, the information states that are kept.
      player: the player.
      numbers: `[S]` int. The numbers of the player's sequences are written there.
    """
    cells, owner, first, levels = [], [], [], []
    num_sequences, num_infosets = 1, 0
    for start, stop in itertools.pairwise(tree.level_offsets[player]):
        rows = start + np.flatnonzero(used[start:stop])
        parents = numbers[tree.parent_sequence[rows]]
        forced = allowed[rows].sum(axis=1) == 1
        moves = allowed[rows[forced]].argmax(axis=1)
        numbers[rows[forced] * tree.num_actions + moves] = parents[forced]
        rows, parents = rows[~forced], parents[~forced]
        if not len(rows):
            continue
        order = np.argsort(parents, kind="stable")
        rows, parents = rows[order], parents[order]
        infosets, actions = np.nonzero(allowed[rows])
        sequences = slice(num_sequences, num_sequences + len(infosets))
        cells.append(rows[infosets] * tree.num_actions + actions)
        numbers[cells[-1]] = np.arange(sequences.start, sequences.stop)
        owner.append(num_infosets + infosets)
        own_first = np.searchsorted(infosets, np.arange(len(rows)))
        first.append(sequences.start - 1 + own_first)
        different, groups = np.unique(parents, return_index=True)
        levels.append(
            Level(
                sequences=sequences,
                choices=slice(sequences.start - 1, sequences.stop - 1),
                infosets=slice(num_infosets, num_infosets + len(rows)),
                first=own_first,
                before=parents[infosets],
                parents=different,
                groups=groups,
            )
        )
        num_sequences, num_infosets = sequences.stop, num_infosets + len(rows)
    return CompactPlayer(_join(cells), _join(owner), _join(first), tuple(levels))


def _join(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, np.intp)

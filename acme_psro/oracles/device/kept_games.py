"""Games that are kept from one response to the next, weighed for every new mixture of opponents.

How often games led to a node, divided by how often their players were to lead there, is the share of chance:
it does not depend on who played. So games against opponents of earlier iterations stay valid, and only their
weights change. A game's weight is the probability of the new players' moves in it, divided by the mean
probability of the same moves over all games that were played. That is the balance heuristic of multiple
importance sampling (Veach & Guibas 1995, "Optimally combining sampling techniques for Monte Carlo
rendering"): weights are bounded where the newest games are played against the new opponents.

With perfect recall, the learner's own moves before a decision say nothing about the hidden state. So their
weight is free to choose, and any exploring play may be kept.

Dimensions: `N` nodes, `I` information states, `A` actions; `M` outcomes of one player's decisions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import TERMINAL, GameTree
from acme_psro.oracles.device.node_play import NodePlay

# Information states that are rarely reached decide little but must be learned too: a decision's share is the
# square root of how often it comes up.
_FLATTENING = 0.5


class KeptGames(NamedTuple):
    """All games so far, summed by node.

    Attributes:
      visits: `[N]` float64, the number of games that led to each node.
      expected: `[N]` float64, the sum over all games of the probability that the game's players, without
        chance, led to the node.
    """

    visits: np.ndarray
    expected: np.ndarray

    @property
    def num(self) -> int:
        """Returns the number of games."""
        return int(self.visits[0])


class Outcomes(NamedTuple):
    """Everything that one player's decisions may lead to: its next decision, or the end of the game.

    Attributes:
      infoset: `[M]` int, the information state of the decision.
      action: `[M]` int, the action taken there.
      next_infoset: `[M]` int, the information state of the next decision; that of this one if there is none.
      ends: `[M]` bool, True if there is no next decision.
      nodes: the nodes, each an end or a decision of the player, that follow a decision.
      of_node: for each of these, its outcome.
      reward: for each of these, the sum of the player's rewards since the decision.
    """

    infoset: np.ndarray
    action: np.ndarray
    next_infoset: np.ndarray
    ends: np.ndarray
    nodes: np.ndarray
    of_node: np.ndarray
    reward: np.ndarray


class Weighed(NamedTuple):
    """Estimates from kept games of a player's outcomes against certain opponents.

    Attributes:
      weight: `[M]` float64, with mean 1 over all outcomes.
      reward: `[M]` float64, the mean reward of the outcome.
      effective: the number of decisions against these opponents themselves that would say as much.
    """

    weight: np.ndarray
    reward: np.ndarray
    effective: float


def no_games(tree: GameTree) -> KeptGames:
    """Returns the memory before any game."""
    return KeptGames(np.zeros(tree.num_nodes), np.zeros(tree.num_nodes))


def play(tree: GameTree, played: NodePlay, num: int, rng: np.random.Generator) -> np.ndarray:
    """Plays games; returns `[num]` int, their last nodes."""
    # Children are contiguous and their probabilities sum to 1, so that one search serves all nodes.
    sums = np.cumsum(played.moves)
    node = np.zeros(num, np.int64)
    live = np.arange(num)
    while True:
        live = live[tree.player[node[live]] != TERMINAL]
        if not len(live):
            return node
        first = tree.first_child[node[live]].astype(np.int64)
        last = first + tree.num_children[node[live]] - 1
        before = sums[first] - played.moves[first]
        drawn = np.searchsorted(sums, before + rng.random(len(live)), side="right")
        node[live] = np.clip(drawn, first, last)


def keep(tree: GameTree, games: KeptGames, played: NodePlay, ends: np.ndarray) -> KeptGames:
    """Returns the memory with more games: those that were played so, and ended at nodes `ends`."""
    visits = np.bincount(ends, minlength=tree.num_nodes).astype(np.float64)
    # From the deepest nodes up, so that the counts of children are complete when they are added.
    for start, stop in zip(tree.depth_offsets[-2:0:-1], tree.depth_offsets[:1:-1], strict=True):
        parents = tree.parent[start:stop]
        low = int(parents.min())
        sums = np.bincount(parents - low, visits[start:stop])
        visits[low : low + len(sums)] += sums
    return KeptGames(games.visits + visits, games.expected + len(ends) * played.reach)


def find_outcomes(tree: GameTree, player: int) -> Outcomes:
    """Finds all outcomes of a player's decisions, in the order of information states and actions."""
    infoset = np.full(tree.num_nodes, -1, np.int64)
    action = np.full(tree.num_nodes, -1, np.int64)
    reward = np.zeros(tree.num_nodes)
    for start, stop in zip(tree.depth_offsets[1:-1], tree.depth_offsets[2:], strict=True):
        parents = tree.parent[start:stop]
        own = tree.player[parents] == player
        decided = tree.infoset[parents]
        # Chance may have more slots than players have actions.
        slot = np.where(own, tree.slot[start:stop], 0)
        infoset[start:stop] = np.where(own, decided, infoset[parents])
        action[start:stop] = np.where(own, tree.action_of_slot[decided, slot], action[parents])
        reward[start:stop] = np.where(own, 0.0, reward[parents]) + tree.reward[start:stop, player]
    over = tree.player == TERMINAL
    nodes = np.flatnonzero(((tree.player == player) | over) & (infoset >= 0))
    then = np.where(over[nodes], -1, tree.infoset[nodes])
    names = (infoset[nodes] * tree.num_actions + action[nodes]) * (tree.num_infosets + 1) + then + 1
    _, first, of_node = np.unique(names, return_index=True, return_inverse=True)
    ends = over[nodes][first]
    now = infoset[nodes][first]
    following = np.where(ends, now, then[first])
    return Outcomes(now, action[nodes][first], following, ends, nodes, of_node.ravel(), reward[nodes])


def weigh(tree: GameTree, outcomes: Outcomes, games: KeptGames, others: np.ndarray, player: int) -> Weighed:
    """Returns the weights of a player's outcomes against certain opponents.

    Args:
      tree: the compiled game.
      outcomes: the player's.
      games: at least some of them against these opponents.
      others: `[N]`, their contribution to the probability of reaching each node.
      player: the player who learns.
    """
    nodes = outcomes.nodes
    wanted = others[nodes]
    own = traverse.realisation_plan(tree, tree.uniform_policy())[tree.sequences[nodes, player]]
    visits, expected = games.visits[nodes], games.expected[nodes]
    # Rounding may lead a game to a node that its players never choose.
    ratio = np.where(expected > 0, wanted * own / np.where(expected > 0, expected, 1.0), 0.0)
    each = visits * ratio
    weight = np.bincount(outcomes.of_node, each, len(outcomes.infoset))
    paid = np.bincount(outcomes.of_node, each * outcomes.reward, len(outcomes.infoset))
    reward = paid / np.where(weight > 0, weight, 1.0)
    sequence = outcomes.infoset * tree.num_actions + outcomes.action
    total = np.bincount(sequence, weight)[sequence]
    weight = weight * np.where(total > 0, total, 1.0) ** (_FLATTENING - 1)
    effective = each.sum() ** 2 / np.sum(visits * ratio**2)
    return Weighed(weight / weight.mean(), reward, float(effective))


def subtract_mixture(
    tree: GameTree, outcomes: Outcomes, weighed: Weighed, table: np.ndarray, player: int
) -> np.ndarray:
    """Returns `[M]`: rewards by which decisions are worth what they gain over a mixture, as far as is known.

    The mixture's value after a decision is added and that before it is subtracted. Best responses stay the
    same (Ng, Harada & Russell 1999, "Policy invariance under reward transformations"), but differences
    between actions no longer drown in what all of them earn.

    Args:
      tree: the compiled game.
      outcomes: the player's.
      weighed: their weights and rewards.
      table: `[I, A]`, the mixture. Only the player's own part is used.
      player: the player who learns.
    """
    shape = (tree.num_infosets, tree.num_actions)
    sequence = outcomes.infoset * tree.num_actions + outcomes.action
    total = np.bincount(sequence, weighed.weight, tree.empty_sequence)
    known = total.reshape(shape) > 0
    values, shaped = np.zeros(tree.num_infosets), weighed.reward.copy()
    # From the last level to the first: values of later decisions are complete when they are used. Outcomes
    # are in the order of information states, and these in the order of levels.
    offsets = tree.level_offsets[player]
    for start, stop in zip(offsets[-2::-1], offsets[:0:-1], strict=True):
        own = slice(*np.searchsorted(outcomes.infoset, (start, stop)))
        after = np.where(outcomes.ends[own], 0.0, values[outcomes.next_infoset[own]])
        shaped[own] += after
        sums = np.bincount(sequence[own], weighed.weight[own] * shaped[own], tree.empty_sequence)
        earned = (sums / np.where(total > 0, total, 1.0)).reshape(shape)[start:stop]
        # Where not every action has been seen, the others stand for it.
        plays = np.where(known[start:stop], table[start:stop], 0.0)
        share = plays.sum(axis=1)
        values[start:stop] = (plays * earned).sum(axis=1) / np.where(share > 0, share, 1.0)
        shaped[own] -= values[outcomes.infoset[own]]
    return shaped


def draw(weight: np.ndarray, batches: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Returns `[batches, size]` int: outcomes, each drawn by its weight, evenly spread in every batch."""
    sums = np.cumsum(weight)
    # Stratified sampling: as outcomes are in the order of decisions, every batch has its share of each.
    points = (np.arange(size) + rng.random((batches, size))) * (sums[-1] / size)
    drawn = np.searchsorted(sums, points.ravel(), side="right").reshape(batches, size)
    return np.minimum(drawn, np.flatnonzero(weight)[-1])

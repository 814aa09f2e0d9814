"""Symmetric games: two-player games in which both players are in the same position.

Exchanging the players' policies exchanges their returns there, so that one population may serve both.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.sequence_form import payoff_matrix, plan_constraints
from acme_psro.games.tree import GameTree

_ROUNDING = 1e-9
# Digits in which figures of counterparts agree, relative to the largest return.
_DIGITS = 9


def find_counterparts(tree: GameTree) -> np.ndarray | None:
    """Returns `[I]`: player 0's counterpart of each information state; None if the game is not symmetric.

    Counterparts are looked for by figures of play by uniform players, and then checked: exchanging the
    sequences of both players must exchange all payoffs. A symmetric game whose information states these
    figures do not tell apart may count as not symmetric: it is learned for each player then.
    """
    found = _search(tree)
    return None if isinstance(found, str) else found


def require_counterparts(tree: GameTree) -> np.ndarray:
    """Returns `find_counterparts` of a symmetric game.

    Raises:
      ValueError: the game is not symmetric; the message says why not.
    """
    found = _search(tree)
    if isinstance(found, str):
        raise ValueError(describe_asymmetry(tree.game_string, found))
    return found


def check_players(game: str, num_players: int) -> None:
    """Checks that a game may be symmetric, which is known before it is compiled.

    Raises:
      ValueError: it has another number of players than two.
    """
    if num_players != 2:
        raise ValueError(describe_asymmetry(game, _count_players(num_players)))


def describe_asymmetry(game: str, reason: str) -> str:
    """Returns one line that says why a game cannot have one population for both players."""
    return f"{game} is not symmetric: {reason}; leave out --symmetric."


def exchange(tree: GameTree, counterparts: np.ndarray, player: int, table: np.ndarray) -> np.ndarray:
    """Returns `[I_p, A]`: the other player's policy that plays like this one in the same position.

    Args:
      tree: the compiled game.
      counterparts: `[I]`, see `find_counterparts`.
      player: the player whose policy it is.
      table: `[I_p, A]`, the policy's probabilities.
    """
    first, second = tree.infosets_of(0), tree.infosets_of(1)
    places = counterparts[second] - first.start
    return table[places] if player == 0 else table[np.argsort(places)]


# A run asks several times for its one game.
@functools.lru_cache(maxsize=1)
def _search(tree: GameTree) -> np.ndarray | str:
    """Returns the counterparts, or the reason why there are none."""
    if tree.num_players != 2:
        return _count_players(tree.num_players)
    first, second = (_in_order(tree, player) for player in range(2))
    if len(first) != len(second):
        return f"player 0 has {len(first)} information states and player 1 has {len(second)}"
    if not np.array_equal(tree.legal_actions[first], tree.legal_actions[second]):
        return "the players have other actions at their information states"
    counterparts = np.empty(tree.num_infosets, int)
    counterparts[first] = counterparts[second] = first
    rows, columns = plan_constraints(tree, 0), plan_constraints(tree, 1)
    own, others = (payoff_matrix(tree, rows, columns, player) for player in range(2))
    # Columns in the order of their counterparts among the rows; the empty sequence stays last.
    actions = tree.num_actions
    infosets, taken = np.divmod(columns.sequences[:-1], actions)
    order = np.append(np.argsort(counterparts[infosets] * actions + taken), len(infosets))
    if abs(own[:, order] - others[:, order].T).max() > _ROUNDING * tree.utility_scale:
        return "exchanging the players changes what they earn"
    counterparts.flags.writeable = False
    return counterparts


def _count_players(number: int) -> str:
    return f"it has {number} player{'' if number == 1 else 's'}, not 2"


def _in_order(tree: GameTree, player: int) -> np.ndarray:
    """Returns a player's information states in an order that is the same for counterparts.

    The order is that of the sequences before them, and then of the returns after each action if all players
    choose evenly: their sums, their sums of squares and the number of ends.
    """
    actions = tree.num_actions
    figures = _figures(tree, player)
    rank = np.zeros(tree.num_infosets, int)
    ordered: list[int] = []
    for start, stop in itertools.pairwise(tree.level_offsets[player]):
        parent = tree.parent_sequence[start:stop]
        before = rank[parent // actions % tree.num_infosets] * actions + parent % actions
        # The empty sequence is nobody's.
        before = np.where(parent == tree.empty_sequence, -1, before)
        keys = np.column_stack([before, tree.legal_actions[start:stop], figures[start:stop]])
        # The first key counts most; lexsort begins with the last one.
        order = start + np.lexsort(keys.T[::-1])
        rank[order] = len(ordered) + np.arange(len(order))
        ordered += order.tolist()
    return np.array(ordered, int)


def _figures(tree: GameTree, player: int) -> np.ndarray:
    """Returns `[I, 3 A]`: rounded figures of the ends after each action of a player's information states."""
    plan = traverse.realisation_plan(tree, tree.uniform_policy())
    others = np.prod(np.delete(plan[tree.terminal_sequences], player, axis=0), axis=0)
    returns = tree.terminal_returns[player] / tree.utility_scale
    columns = []
    for weights in (returns * others, returns**2 * others, others):
        sums = np.bincount(tree.terminal_sequences[player], weights, tree.empty_sequence + 1)
        # From the last level to the first: what comes after an information state also comes after the
        # sequence before it.
        offsets = tree.level_offsets[player]
        for start, stop in zip(offsets[-2::-1], offsets[:0:-1], strict=True):
            after = sums[start * tree.num_actions : stop * tree.num_actions].reshape(stop - start, -1)
            np.add.at(sums, tree.parent_sequence[start:stop], after.sum(axis=1))
        columns.append(sums[:-1].reshape(tree.num_infosets, tree.num_actions))
    # Adding 0 turns a rounded minus zero into zero, which would come before it.
    return np.round(np.concatenate(columns, axis=1), _DIGITS) + 0.0

"""Restricted games: the actions that responses take, and how much of a game they make up.

In the restricted game of the extensive-form double oracle (McAleer et al. 2021, "XDO: a double oracle
algorithm for extensive-form games") a player may take those actions at an information state that one of its
responses takes there. A restricted game is a boolean array `[I, A]` of *allowed* actions beside the compiled
game.

Dimensions: `I` information states over all players, `I_p` of player p, `A` actions, `P` players.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.games.compiled import CompiledGame
from acme_psro.games.sequence_form import own_reach
from acme_psro.games.tree import GameTree
from acme_psro.policies.on_graph import GraphPolicy
from acme_psro.policies.tabular import Policy


class ActionCounts(NamedTuple):
    """Size of a restricted game.

    Only information states that their own player can reach by allowed actions count; its opponents may take
    any legal action.

    Attributes:
      infosets: `[P]` int, information states of each player.
      actions: `[P]` int, allowed actions at these.
    """

    infosets: np.ndarray
    actions: np.ndarray


def allowed_actions(
    compiled: CompiledGame,
    populations: Sequence[Sequence[Policy | GraphPolicy]],
    first: int = 0,
    *,
    reached_only: bool = False,
    threshold: float = 0.0,
) -> np.ndarray:
    """Returns the actions of the restricted game, `[I, A]` bool.

    An action is allowed at an information state if a response takes it there. At information states where no
    response counts, all legal actions are allowed.

    Args:
      compiled: the compiled game.
      populations: one a player.
      first: index of a population's first response. The policies before it, such as a uniform initial policy,
        allow nothing. All actions of a player without responses are allowed.
      reached_only: if True, a response counts only at information states that its own actions lead to. If
        False, it counts at all of them, because the actions of one response may lead to where another one
        has a good answer. XDO with exact responses then takes 8 iterations instead of 23 in Leduc poker, and
        22 instead of more than 80 in Liar's Dice with six sides. It needs a tree.
      threshold: actions count that a response takes with a greater probability than this, and its most
        probable ones in any case.

    Raises:
      ValueError: there is not one population for each player, or `first` is negative.
    """
    if len(populations) != compiled.num_players:
        raise ValueError(
            f"this game has {compiled.num_players} players, but there are {len(populations)} populations."
        )
    if first < 0:
        raise ValueError(f"the index of the first response must not be negative, and is {first}.")
    allowed: np.ndarray = compiled.legal_actions.copy()
    for player, population in enumerate(populations):
        rows = compiled.rows_of(player)
        taken = np.zeros_like(allowed[rows])
        for response in population[first:]:
            table = response.table
            takes = (table > threshold) | (table == table.max(axis=1, keepdims=True))
            if reached_only:
                assert isinstance(response, Policy), "own actions lead somewhere in trees"
                takes &= (response.plan[:-1] > 0).reshape(taken.shape)
            taken |= takes
        counts = taken.any(axis=1, keepdims=True)
        allowed[rows] = np.where(counts, taken, allowed[rows])
    return allowed


def count_allowed(tree: GameTree, allowed: np.ndarray) -> ActionCounts:
    """Counts the allowed actions at information states that their own player can reach."""
    rows = own_reach(tree, allowed)[:-1].reshape(allowed.shape)
    own = [rows[tree.infosets_of(player)] for player in range(tree.num_players)]
    return ActionCounts(
        infosets=np.array([int(each.any(axis=1).sum()) for each in own]),
        actions=np.array([int(each.sum()) for each in own]),
    )


def check_allowed(compiled: CompiledGame, allowed: np.ndarray) -> None:
    """Checks that an array is a restricted game of a compiled game.

    Raises:
      ValueError: it has another shape or type, allows an illegal action, or leaves an information state
        without actions.
    """
    if allowed.shape != compiled.legal_actions.shape or allowed.dtype != bool:
        raise ValueError(
            f"allowed actions must be a boolean array of shape {compiled.legal_actions.shape}, and are "
            f"{allowed.dtype} of shape {allowed.shape}."
        )
    if (allowed & ~compiled.legal_actions).any():
        raise ValueError("an action that is not legal is among the allowed ones; leave it out.")
    empty = np.flatnonzero(~allowed.any(axis=1))
    if len(empty):
        raise ValueError(f"no action is allowed at information state {empty[0]}; allow at least one at each.")

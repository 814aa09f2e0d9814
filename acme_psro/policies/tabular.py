"""Policies on a compiled game, and the populations that collect them.

Dimensions: `I_p` information states of player p, `A` actions, `T` terminal nodes, `S` sequences of all
players, the empty one last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.policies.meta_strategy import BehaviouralStrategy, MetaStrategy, require_product


class Policy(NamedTuple):
    """One player's policy.

    Attributes:
      table: `[I_p, A]` float64, rows sum to 1, exactly 0 on illegal actions.
      plan: `[I_p * A + 1]` float64, its realisation plan; the empty sequence, 1, comes last.
    """

    table: np.ndarray
    plan: np.ndarray


# Append-only: a policy keeps its index for good.
Population = tuple[Policy, ...]


def make_policy(tree: GameTree, player: int, table: np.ndarray) -> Policy:
    """Returns a policy from its probabilities `[I_p, A]`.

    Raises:
      ValueError: a row is not a distribution over legal actions.
    """
    rows = tree.infosets_of(player)
    table = check_table(tree.legal_actions[rows], player, table)
    whole = np.zeros_like(tree.legal_actions, np.float64)
    whole[rows] = table
    return Policy(table, _own_plan(tree, player, traverse.realisation_plan(tree, whole)))


def check_table(legal: np.ndarray, player: int, table: np.ndarray) -> np.ndarray:
    """Returns a player's probabilities, `[rows, A]` float64, after checking them.

    Args:
      legal: `[rows, A]` bool, the legal actions.
      player: the player, for messages.
      table: the probabilities.

    Raises:
      ValueError: a row is not a distribution over legal actions.
    """
    if table.shape != legal.shape:
        raise ValueError(f"player {player}'s policy has shape {table.shape}, not {legal.shape}.")
    table = np.array(table, np.float64)
    if not np.isfinite(table).all() or (table < 0).any() or table[~legal].any():
        raise ValueError(f"player {player}'s policy has probabilities that are negative or illegal.")
    if np.abs(table.sum(axis=1) - 1).max(initial=0.0) > 1e-6:
        raise ValueError(f"player {player}'s policy has rows that do not sum to 1.")
    return table


def uniform_policy(tree: GameTree, player: int) -> Policy:
    """Returns the policy that plays all legal actions with equal probability."""
    return make_policy(tree, player, tree.uniform_policy()[tree.infosets_of(player)])


def _own_plan(tree: GameTree, player: int, plan: np.ndarray) -> np.ndarray:
    rows = tree.infosets_of(player)
    return np.append(plan[rows.start * tree.num_actions : rows.stop * tree.num_actions], 1.0)


def combine(tree: GameTree, plans: Sequence[np.ndarray]) -> np.ndarray:
    """Returns `[S]`: one realisation plan from every player's own plan `[I_p * A + 1]`."""
    plan = np.empty(tree.empty_sequence + 1)
    for player, own in enumerate(plans):
        rows = tree.infosets_of(player)
        plan[rows.start * tree.num_actions : rows.stop * tree.num_actions] = own[:-1]
    plan[-1] = 1.0
    return plan


def replace(tree: GameTree, plan: np.ndarray, player: int, policy: Policy) -> np.ndarray:
    """Returns `[S]`: the plan with the player's part replaced by another policy's."""
    rows = tree.infosets_of(player)
    replaced = plan.copy()
    replaced[rows.start * tree.num_actions : rows.stop * tree.num_actions] = policy.plan[:-1]
    return replaced


def mixture_plan(
    tree: GameTree, populations: Sequence[Population], marginals: Sequence[np.ndarray]
) -> np.ndarray:
    """Returns `[S]`: the realisation plan of all players drawing policies by their marginals `[n_p]`."""
    # Realisation plans mix linearly, which probabilities of actions do not: how much a policy counts at an
    # information state depends on how likely it is to get there (von Stengel 1996).
    plans = []
    for population, weights in zip(populations, marginals, strict=True):
        support = np.flatnonzero(weights)
        plans.append(weights[support] @ np.stack([population[k].plan for k in support]))
    return combine(tree, plans)


def meta_strategy_plan(
    tree: GameTree, populations: Sequence[Population], meta_strategy: MetaStrategy
) -> np.ndarray:
    """Returns `[S]`: the realisation plan of all players playing a meta-strategy.

    Raises:
      ValueError: the meta-strategy is a joint distribution, which no plan of independent players matches.
    """
    if isinstance(meta_strategy, BehaviouralStrategy):
        return traverse.realisation_plan(tree, np.concatenate(meta_strategy.tables))
    return mixture_plan(tree, populations, require_product(meta_strategy).marginals)


def average_plan(tree: GameTree, populations: Sequence[Population]) -> np.ndarray:
    """Returns `[S]`: the realisation plan of all players drawing their policies uniformly."""
    return mixture_plan(tree, populations, [np.full(len(own), 1 / len(own)) for own in populations])


def terminal_reach(tree: GameTree, player: int, population: Population) -> np.ndarray:
    """Returns `[n, T]`: each policy's own contribution to the probability of reaching each end."""
    return reach(tree, player, population, tree.terminal_sequences[player])


def reach(tree: GameTree, player: int, population: Population, sequences: np.ndarray) -> np.ndarray:
    """Returns `[n, m]`: the probability with which each policy plays each of its player's sequences `[m]`."""
    own = own_sequences(tree, player, sequences)
    return np.stack([policy.plan[own] for policy in population])


def own_sequences(tree: GameTree, player: int, sequences: np.ndarray) -> np.ndarray:
    """Returns `[m]`: the places of a player's sequences `[m]` in the plans of its own policies."""
    # In a policy's own plan the empty sequence comes last, at -1, with probability 1.
    rows = tree.infosets_of(player)
    return np.where(sequences == tree.empty_sequence, -1, sequences - rows.start * tree.num_actions)


def mixture_table(
    tree: GameTree, populations: Sequence[Population], meta_strategy: MetaStrategy
) -> np.ndarray:
    """Returns `[I, A]`: the one policy that is realisation-equivalent to the mixture (Kuhn's theorem).

    Raises:
      ValueError: the meta-strategy is a joint distribution.
    """
    if isinstance(meta_strategy, BehaviouralStrategy):
        return np.concatenate(meta_strategy.tables)
    return traverse.behaviour(tree, meta_strategy_plan(tree, populations, meta_strategy))

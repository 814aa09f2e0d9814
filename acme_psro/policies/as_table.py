"""Stored policies and mixtures of them as tables on compiled games.

Dimensions: `I` information states, `I_p` those of player p, `A` actions, `n_p` policies of player p.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.policies import decoders, mixture_files, networks, stored
from acme_psro.policies.meta_strategy import JointStrategy, marginal
from acme_psro.policies.stored import StoredPolicy, StoredPolicyError
from acme_psro.policies.tabular import Policy, make_policy, mixture_plan, uniform_policy


def make_table(tree: GameTree, policy: StoredPolicy) -> np.ndarray:
    """Returns `[I_p, A]` float64: a stored policy's probabilities at its player's information states.

    Raises:
      StoredPolicyError: a policy of another game, or one that cannot be decoded.
    """
    player, kind = policy.about["player"], policy.about["kind"]
    if kind not in _TABLES:
        raise StoredPolicyError(f"no tables of policies of kind {kind!r}; of {', '.join(_TABLES)} there are.")
    stored.check_fits(policy, tree.game_string, player, "the stored policy")
    return _TABLES[kind](tree, tree.infosets_of(player), policy)


def _of_uniform(tree: GameTree, rows: slice, policy: StoredPolicy) -> np.ndarray:
    del policy
    return tree.uniform_policy()[rows]


def _of_table(tree: GameTree, rows: slice, policy: StoredPolicy) -> np.ndarray:
    del rows
    return decoders.table_on_tree(tree, policy)


def _of_network(tree: GameTree, rows: slice, policy: StoredPolicy) -> np.ndarray:
    network = networks.make_network(policy.about)
    variables = networks.to_variables(network.core, policy.arrays)
    return networks.probabilities(network, variables, tree.info_state[rows], tree.legal_actions[rows])


_TABLES: dict[str, Callable[[GameTree, slice, StoredPolicy], np.ndarray]] = {
    "uniform": _of_uniform,
    "table": _of_table,
    "network": _of_network,
}


def mixture_table(tree: GameTree, directory: Path, player: int) -> np.ndarray | None:
    """Returns `[I, A]`: each other player's one policy that is equivalent to its mixture.

    Args:
      tree: the game.
      directory: a mixture directory.
      player: the player who responds to the mixture; its own rows are uniform.

    Returns:
      None if the policies of several others are correlated: no independent policies are equivalent.

    Raises:
      MixtureError, StoredPolicyError: a mixture that cannot be used.
    """
    loaded = mixture_files.load(directory)
    # With two players there is only one other, whose marginal holds all that the joint distribution says.
    if isinstance(loaded.meta_strategy, JointStrategy) and tree.num_players > 2:
        return None
    marginals = [
        np.ones(1) if p == player else marginal(loaded.meta_strategy, p, len(loaded.policies[p]))
        for p in range(tree.num_players)
    ]
    unused = uniform_policy(tree, player)
    populations: list[tuple[Policy, ...]] = []
    for other, policies in enumerate(loaded.policies):
        if other == player:
            populations.append((unused,))
            continue
        # Those without weight are not looked at.
        tables = [None if policy is None else make_table(tree, policy) for policy in policies]
        populations.append(
            tuple(unused if table is None else make_policy(tree, other, table) for table in tables)
        )
    return traverse.behaviour(tree, mixture_plan(tree, populations, marginals))

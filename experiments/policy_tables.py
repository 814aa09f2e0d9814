"""Stored policies and mixtures of them as tables on compiled games.

Dimensions: `I` information states, `I_p` those of player p, `A` actions, `n_p` policies of player p.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from acme_psro import mixtures, stored_policies
from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.mixtures import Joint, Mixture
from acme_psro.population import Policy, make_policy, mixture, uniform_policy
from acme_psro.stored_policies import StoredPolicy, StoredPolicyError
from experiments import policy_decoders


def make_table(tree: GameTree, policy: StoredPolicy) -> np.ndarray:
    """`[I_p, A]` float64: what a stored policy plays at each of its player's information states.

    Raises:
      StoredPolicyError: a policy of another game, or one that cannot be decoded.
    """
    player, kind = policy.about["player"], policy.about["kind"]
    if kind not in _TABLES:
        raise StoredPolicyError(f"no tables of policies of kind {kind!r}; of {', '.join(_TABLES)} there are.")
    stored_policies.check_fits(policy, tree.game_string, player, "the stored policy")
    return _TABLES[kind](tree, tree.infosets_of(player), policy)


def _of_uniform(tree: GameTree, rows: slice, policy: StoredPolicy) -> np.ndarray:
    del policy
    return tree.uniform_policy()[rows]


def _of_table(tree: GameTree, rows: slice, policy: StoredPolicy) -> np.ndarray:
    places, table = stored_policies.table_of(policy)
    unknown = [key for key in tree.keys[rows] if key not in places]
    if unknown:
        raise StoredPolicyError(
            f"the table lacks {len(unknown)} information states of {tree.game_string}: it is of another "
            "version of the game."
        )
    return table[[places[key] for key in tree.keys[rows]]]


def _of_network(tree: GameTree, rows: slice, policy: StoredPolicy) -> np.ndarray:
    network = policy_decoders.make_network(policy.about)
    variables = policy_decoders.to_variables(network.core, policy.arrays)
    return policy_decoders.probabilities(network, variables, tree.info_state[rows], tree.legal_actions[rows])


_TABLES: dict[str, Callable[[GameTree, slice, StoredPolicy], np.ndarray]] = {
    "uniform": _of_uniform,
    "table": _of_table,
    "network": _of_network,
}


def mixture_table(tree: GameTree, directory: Path, player: int) -> np.ndarray | None:
    """`[I, A]`: for each player but one, the policy that plays like the mixture, weighted by reach.

    Args:
      tree: the game.
      directory: of a mixture.
      player: who responds to the mixture; its own rows are uniform.

    Returns:
      None where several others draw their policies together: no policies of each are like that.

    Raises:
      MixtureError, StoredPolicyError: a mixture that cannot be used.
    """
    loaded = mixtures.load(directory)
    if isinstance(loaded.weights, Joint) and tree.num_players > 2:
        return None
    marginals = [np.ones(1) if p == player else _marginal(loaded, p) for p in range(tree.num_players)]
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
    return traverse.behaviour(tree, mixture(tree, populations, marginals))


def _marginal(loaded: Mixture, player: int) -> np.ndarray:
    """`[n_p]`: how often each policy of the player is drawn."""
    if not isinstance(loaded.weights, Joint):
        return loaded.weights[player]
    profiles, probabilities = loaded.weights
    return np.bincount(profiles[:, player], probabilities, len(loaded.policies[player]))

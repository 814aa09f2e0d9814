"""Responses that differ from their population: the distance from its policy hull as a bonus.

What a response adds is measured by its distance from the policies that mixtures of the population can play
(Yao et al. 2023, "Policy Space Diversity for Non-Transitive Games", arXiv:2306.16884): the least expected KL
divergence to any of them, over the information states that the response visits. The hull is represented by
points drawn from it. A response learns with a reward of the weight times `log(pi(a|s) / h(a|s))` for each
decision, of which the policy expects the divergence, with h the nearest point.

Before they are compared, both policies take an even action at times. So the divergence is finite for pure
policies, and that of a policy to itself is 0.

Dimensions: `K` points of the hull, `R` information states over all players, `A` actions.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.evaluation.deviations import Deviation
from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask
from acme_psro.policies.tabular import Policy, average_plan, mixture_plan, terminal_reach

# Points of the hull.
_POINTS = 8
# Share of even actions in policies that are compared.
_EVEN = 0.05


def hull_points(tree: GameTree, task: BestResponseTask[Policy, np.ndarray], key: np.ndarray) -> np.ndarray:
    """Returns `[K, R, A]`: policies that mixtures of the populations play, the even mixture first.

    Args:
      tree: the compiled game.
      task: the response that is sought; only rows of its player matter.
      key: `[2]` uint32, from which the weights of the other mixtures are drawn.
    """
    rng = np.random.default_rng([*np.asarray(key).tolist(), task.player])
    sizes = [len(own) for own in task.populations]
    plans = [average_plan(tree, task.populations)]
    for _ in range(_POINTS - 1):
        # Uniform over the simplex.
        weights = [rng.dirichlet(np.ones(size)) for size in sizes]
        plans.append(mixture_plan(tree, task.populations, weights))
    return np.stack([traverse.behaviour(tree, plan) for plan in plans])


def log_ratios(probs: jax.Array, points: jax.Array, legal: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns logarithms of a policy over each point `[K, R, A]`, and their means, the divergences `[K, R]`.

    Args:
      probs: `[R, A]`, the policy.
      points: `[K, R, A]`.
      legal: `[R, A]` bool; illegal actions have a ratio of 0.
    """
    even = legal / jnp.maximum(1, legal.sum(axis=-1, keepdims=True))
    own, others = ((1.0 - _EVEN) * each + _EVEN * even for each in (probs, points))
    ratios = jnp.log(jnp.where(legal, own, 1.0)) - jnp.log(jnp.where(legal, others, 1.0))
    return ratios, (jnp.where(legal, own, 0.0) * ratios).sum(axis=-1)


def bonuses(probs: jax.Array, points: jax.Array, legal: jax.Array, visits: jax.Array) -> jax.Array:
    """Returns `[R, A]`: the logarithm of a policy over the nearest point, of which it expects its distance.

    Args:
      probs: `[R, A]`, the policy.
      points: `[K, R, A]`.
      legal: `[R, A]` bool.
      visits: `[R]`, how often the information states come up.
    """
    ratios, divergences = log_ratios(probs, points, legal)
    return ratios[jnp.argmin(divergences @ visits)]


def distance(tree: GameTree, deviation: Deviation, policy: Policy, points: np.ndarray) -> float:
    """Returns a policy's distance from the hull, >= 0, in nats a decision.

    It is the least mean divergence to one of the points, over the information states that the policy visits.

    Args:
      tree: the compiled game.
      deviation: the player's alternatives, against whom it plays.
      policy: the player's policy.
      points: `[K, R, A]`.
    """
    rows = tree.infosets_of(deviation.player)
    legal = jnp.asarray(tree.legal_actions[rows])
    _, divergences = log_ratios(jnp.asarray(policy.table), jnp.asarray(points[:, rows]), legal)
    visits = count_visits(tree, deviation, policy)
    return float((np.asarray(divergences, np.float64) @ visits).min() / visits.sum())


def count_visits(tree: GameTree, deviation: Deviation, policy: Policy) -> np.ndarray:
    """Returns `[I_p]`: the probability with which a policy visits its player's information states."""
    player, actions = deviation.player, tree.num_actions
    (own,) = terminal_reach(tree, player, (policy,))
    ends = tree.terminal_chance * deviation.others * own
    passed = np.bincount(tree.terminal_sequences[player], ends, tree.empty_sequence + 1)
    offsets = tree.level_offsets[player]
    # From the last level to the first: who takes a sequence visits what follows.
    for start, stop in zip(offsets[-2::-1], offsets[:0:-1], strict=True):
        after = passed[start * actions : stop * actions].reshape(-1, actions).sum(axis=1)
        np.add.at(passed, tree.parent_sequence[start:stop], after)
    rows = tree.infosets_of(player)
    visits: np.ndarray = passed[rows.start * actions : rows.stop * actions].reshape(-1, actions).sum(axis=1)
    return visits

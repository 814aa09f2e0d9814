"""Mixtures: stored policies of all players and how often they are drawn, made playable as opponents.

Policies are drawn once an episode: independently, by each player's marginal, or together, by one joint
distribution over profiles (as a correlated equilibrium is). A learner may ask for *trembles*, a share of
episodes in which all policies are drawn uniformly, so that it also sees what the meta-strategy never reaches.

Dimensions: `P` players, `n_p` policies of player p, `n` episodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from acme_psro.games.batch_policies import BatchOpponents, BatchPolicy
from acme_psro.games.graph import GameGraph
from acme_psro.games.tree import GameTree
from acme_psro.policies import stored
from acme_psro.policies.decoders import Decoder, decode, from_graph_policy, from_tree_policy
from acme_psro.policies.meta_strategy import (
    Draw,
    MetaStrategy,
    MixtureError,
    PopulationStrategy,
    ProductStrategy,
    drawn_policies,
    make_draw,
)
from acme_psro.policies.on_graph import GraphPopulation, as_members
from acme_psro.policies.stored import PolicyFile, StoredPolicy
from acme_psro.policies.tabular import Population


class Mixture(NamedTuple):
    """Policies and how often they are drawn.

    Attributes:
      game: the game's name, see `acme_psro.games.identity`.
      policies: `[P][n_p]`; None if a policy is never drawn. The player who responds to the others may have no
        policies, `()`; the index that is drawn for it is then meaningless.
      meta_strategy: how often each policy is drawn.
      trembles: share of a learner's episodes in which every policy is drawn with the same probability.
    """

    game: str
    policies: tuple[tuple[StoredPolicy | None, ...], ...]
    meta_strategy: PopulationStrategy
    trembles: float = 0.0


def opponents_of(
    mixture: Mixture, decoders: Mapping[str, Decoder], *, trembling: bool = False
) -> BatchOpponents:
    """Returns a mixture as opponents: batch policies, and how they are drawn.

    Args:
      mixture: the mixture.
      decoders: decoders by kind of policy.
      trembling: True to draw with the mixture's trembles, as only a learner does.

    Returns:
      Opponents whose policies without weight raise a MixtureError when they are to play.

    Raises:
      StoredPolicyError: a policy that no decoder takes.
    """
    trembles = mixture.trembles if trembling else 0.0
    decoded: list[list[BatchPolicy]] = [[_never] * len(own) for own in mixture.policies]
    has_networks = False
    for player, index in find_drawable(mixture.meta_strategy, mixture.policies, trembles):
        if (policy := mixture.policies[player][index]) is not None:
            decoded[player][index] = decode(policy, decoders)
            has_networks |= policy.about["kind"] == "network"
    policies = tuple(map(tuple, decoded))
    if has_networks:
        # It imports JAX, which tables do without.
        from acme_psro.policies import joint_networks

        for own in policies:
            joint_networks.join(own)
    draw = make_draw(mixture.meta_strategy)
    return BatchOpponents(policies, _add_trembles(draw, policies, trembles) if trembles else draw)


def find_drawable(
    meta_strategy: PopulationStrategy, policies: Sequence[Sequence[Any]], trembles: float
) -> list[tuple[int, int]]:
    """Returns (player, index) of every policy that may be drawn."""
    if trembles:
        return [(player, index) for player, own in enumerate(policies) for index in range(len(own))]
    return drawn_policies(meta_strategy, policies)


def _add_trembles(draw: Draw, policies: Sequence[Sequence[Any]], trembles: float) -> Draw:
    """Returns a draw that takes uniformly drawn policies, of all players at once, in a share of episodes."""
    uniform = make_draw(ProductStrategy(tuple(np.full(len(own), 1 / max(1, len(own))) for own in policies)))

    def draw_trembling(rng: np.random.Generator, n: int) -> np.ndarray:
        usual, other = draw(rng, n), uniform(rng, n)
        return np.where(rng.random((n, 1)) < trembles, other, usual)

    return draw_trembling


def of_populations(
    game: str, populations: Sequence[Sequence[PolicyFile]], meta_strategy: PopulationStrategy
) -> Mixture:
    """Reads the mixture of populations; policies without weight are not read.

    Raises:
      StoredPolicyError: a file is missing, or was truncated or altered.
    """
    return _of_drawn(
        game, populations, meta_strategy, lambda player, index: stored.read(populations[player][index].path)
    )


def of_graph(
    graph: GameGraph, populations: Sequence[GraphPopulation], meta_strategy: MetaStrategy
) -> Mixture:
    """Returns the mixture of populations on a graph; policies without weight are left out."""
    populations, weights = as_members(populations, meta_strategy)

    def to_stored(player: int, index: int) -> StoredPolicy:
        return from_graph_policy(graph, player, populations[player][index].table)

    return _of_drawn(graph.game_string, populations, weights, to_stored)


def of_tree(tree: GameTree, populations: Sequence[Population], meta_strategy: PopulationStrategy) -> Mixture:
    """Returns the mixture of populations on a tree; policies without weight are left out."""

    def to_stored(player: int, index: int) -> StoredPolicy:
        return from_tree_policy(tree, player, populations[player][index])

    return _of_drawn(tree.game_string, populations, meta_strategy, to_stored)


def _of_drawn(
    game: str,
    populations: Sequence[Sequence[Any]],
    meta_strategy: PopulationStrategy,
    to_stored: Callable[[int, int], StoredPolicy],
) -> Mixture:
    """Returns the mixture of those policies that are drawn, each made by (player, index) -> policy."""
    policies: list[list[StoredPolicy | None]] = [[None] * len(population) for population in populations]
    for player, index in drawn_policies(meta_strategy, populations):
        policies[player][index] = to_stored(player, index)
    return Mixture(game, tuple(map(tuple, policies)), meta_strategy)


def _never(states: Sequence[Any], player: int) -> np.ndarray:
    raise MixtureError(f"a policy of player {player} that has no weight in the mixture was to play.")

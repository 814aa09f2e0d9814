"""Opponents of responses on graphs: profiles of the others' policies, one of which is drawn for each game.

Two opponents who draw together are no product of mixtures, so that profiles are what is drawn. They name
policies, and do not hold any, as there are many more of them.

Dimensions: `K` profiles of the other players, `T` policies of a population; others as in
`acme_psro.games.graph`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from acme_psro.games.graph import GameGraph
from acme_psro.meta_game.profiles import others_probabilities
from acme_psro.oracles.base import BestResponseTask
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.policies.on_graph import GraphPolicy, GraphPopulation

# Their weights are drawn from in every game, and copied for every response.
_MOST_PROFILES = 1_000_000


class Opposition(NamedTuple):
    """Opponents of one training, as NumPy's arrays on the host and JAX's on the device.

    Attributes:
      tables: `[T, O, A]` float32, table n has the n-th policy of every player.
      weights: `[K]` float32, the probability to meet each profile; 0 for padding.
      decision_weights: `[K]` float32, the weight of decisions against each.
      profiles: `[K, P]` int32, the tables by which the players play in each profile.
    """

    tables: Any
    weights: Any
    decision_weights: Any
    profiles: Any


def oppose(
    graph: GameGraph,
    config: DeviceConfig,
    task: BestResponseTask[GraphPolicy, np.ndarray],
    most_policies: int,
) -> Opposition:
    """Returns the opponents of a task, padded.

    Trembles are games against profiles drawn evenly. Both kinds of games are merged, with the mean weight of
    the decisions against each profile.

    Args:
      graph: the compiled game.
      config: has the trembles.
      task: the best response to find.
      most_policies: `T`, to which populations are padded; more if one is larger.
    """
    sizes = [len(population) for population in task.populations]
    drawn = others_probabilities(task.meta_strategy, sizes, task.player)
    profiles, mixture = np.indices(drawn.shape).reshape(len(sizes), -1).T, drawn.ravel()
    even = np.full(len(mixture), 1 / len(mixture))
    share = config.trembles
    weights = (1 - share) * mixture + share * even
    counted = (1 - share) * mixture + share * config.tremble_weight * even
    # Without trembles there are profiles that are never met.
    counted = np.divide(counted, weights, out=np.ones_like(weights), where=weights > 0)
    most = max(most_policies, *sizes)
    padding = (0, most ** (len(sizes) - 1) - len(mixture))
    return Opposition(
        _tables(graph, task.populations, task.player, most).astype(np.float32),
        np.pad(weights, padding).astype(np.float32),
        np.pad(counted, padding, constant_values=1.0).astype(np.float32),
        np.pad(profiles, (padding, (0, 0))).astype(np.int32),
    )


def _tables(graph: GameGraph, populations: Sequence[GraphPopulation], player: int, num: int) -> np.ndarray:
    """Returns `[num, O, A]`, tables of the other players' policies; those that lack play as the first one."""
    tables = np.tile(graph.uniform_policy(), (num, 1, 1))
    for other, population in enumerate(populations):
        if other != player:
            own = np.stack([policy.table for policy in population])
            numbers = np.arange(num)
            tables[:, graph.rows_of(other)] = own[np.where(numbers < len(own), numbers, 0)]
    return tables


def check_profiles(graph: GameGraph, most_policies: int) -> None:
    """Checks that the weights of all profiles that a responder may meet fit into memory.

    Args:
      graph: the compiled game.
      most_policies: the largest number of policies that a population will have.

    Raises:
      ValueError: they do not.
    """
    others = graph.num_players - 1
    if most_policies**others <= _MOST_PROFILES:
        return
    most = max(size for size in range(1, most_policies) if size**others <= _MOST_PROFILES)
    raise ValueError(
        f"{most_policies:,} policies of each of {others} players have {most_policies**others:,} profiles, "
        f"and responses on a graph take up to {_MOST_PROFILES:,}: set --iterations to at most {most - 1}."
    )

"""Exact evaluation of joint distributions on graphs: CCE and CE gaps, as `acme_psro.evaluation.correlated`.

Players may deviate to all that remembers everything, so each gain is a search over beliefs (see
`acme_psro.evaluation.beliefs`): one for each player before it is told its recommendation, and one for each of
its recommendations afterwards.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.evaluation import beliefs
from acme_psro.evaluation.correlated import RecommendationGap
from acme_psro.evaluation.graph_mixtures import drawn_together
from acme_psro.games.graph import GameGraph
from acme_psro.meta_game.payoffs import value
from acme_psro.meta_game.profiles import drawn_others, recommendations
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.policies.on_graph import GraphPopulation, stack_populations


class _Deviation(NamedTuple):
    """A deviation from a joint distribution: its search, and what the player earns if it does not deviate."""

    search: beliefs.Question
    earned: float


def cce_gains(
    graph: GameGraph,
    populations: Sequence[GraphPopulation],
    joint: JointStrategy,
    payoffs: np.ndarray,
    on_progress: beliefs.OnProgress | None = None,
) -> np.ndarray:
    """Returns `[P]`, >= 0: each player's gain by a best response to the others' joint draw.

    All zeros exactly if the distribution is a coarse correlated equilibrium of the game (Moulin & Vial 1978).

    Args:
      graph: the compiled game.
      populations: one a player.
      joint: a distribution over profiles of them.
      payoffs: `[P, n_1, .., n_P]`, their exact payoffs.
      on_progress: called from time to time, see `acme_psro.evaluation.beliefs.best_response_values`.

    Raises:
      MemoryBoundError: a search needs too much memory.
    """
    tables = stack_populations(graph, populations)
    found = [_deviate(graph, tables, player, joint, payoffs) for player in range(graph.num_players)]
    return _gains(graph, found, on_progress)


def ce_gains(
    graph: GameGraph,
    populations: Sequence[GraphPopulation],
    joint: JointStrategy,
    payoffs: np.ndarray,
    on_progress: beliefs.OnProgress | None = None,
) -> np.ndarray:
    """Returns `[P]`, >= 0: each player's gain by best responses to each recommendation, in the mean.

    All zeros exactly if the distribution is a correlated equilibrium of the game (Aumann 1974). The arguments
    are those of `cce_gains`.
    """
    players = range(graph.num_players)
    found = [
        recommendation_gaps(graph, populations, joint, player, payoffs, on_progress) for player in players
    ]
    return np.array([sum(each.gap for each in own) for own in found])


def recommendation_gaps(
    graph: GameGraph,
    populations: Sequence[GraphPopulation],
    joint: JointStrategy,
    player: int,
    payoffs: np.ndarray,
    on_progress: beliefs.OnProgress | None = None,
) -> list[RecommendationGap]:
    """Returns a player's gap after each policy that may be recommended to it; they sum to its `ce_gains`.

    The arguments are those of `cce_gains`, and the player.
    """
    tables = stack_populations(graph, populations)
    told = list(recommendations(joint, player))
    found = [_deviate(graph, tables, player, given, payoffs) for _, _, given in told]
    gains = _gains(graph, found, on_progress).tolist()
    return [
        RecommendationGap(policy, weight, weight * gain)
        for (policy, weight, _), gain in zip(told, gains, strict=True)
    ]


def _deviate(
    graph: GameGraph, tables: Sequence[np.ndarray], player: int, joint: JointStrategy, payoffs: np.ndarray
) -> _Deviation:
    """Returns the deviation of a player from a joint distribution."""
    drawn = drawn_others(joint, payoffs.shape[1:], player)
    meet = functools.partial(drawn_together, graph, player, tables, *drawn)
    return _Deviation(beliefs.Question(player, meet), float(value(payoffs, joint)[player]))


def _gains(
    graph: GameGraph, found: Sequence[_Deviation], on_progress: beliefs.OnProgress | None
) -> np.ndarray:
    """Returns the gains of the best deviations, `[n]`."""
    values = beliefs.best_response_values(graph, [each.search for each in found], on_progress=on_progress)
    # Following gains 0; rounding may say otherwise by one unit in the last place.
    return np.maximum(values - [each.earned for each in found], 0.0)

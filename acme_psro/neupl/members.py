"""Members of a population: which of them learn, and their policies as tables.

Dimensions: `P` = 2 players, `N` members, `I` information states over all players, `A` actions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from acme_psro.games.tree import GameTree
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.interaction_graph import first_of_same, make_graph
from acme_psro.policies.tabular import Population, make_policy


def share_of_learning(config: NeuPLConfig, graph: np.ndarray, is_fixed: np.ndarray) -> np.ndarray:
    """Returns `[P, N]`: each player's distribution over its members that learn.

    It is uniform over members with different rows (Liu et al. 2022, algorithm 4) that are not fixed. If there
    are none, the last member learns, so that a program for some of them can run; it stays fixed.

    Args:
      config: `active_members` limits how many members learn.
      graph: `[P, N, N]`, with rows that agree made the same.
      is_fixed: `[P, N]` bool.
    """
    share = np.zeros(is_fixed.shape)
    for player, rows in enumerate(graph):
        is_first = first_of_same(rows) == np.arange(len(rows))
        learning = np.flatnonzero(is_first & ~is_fixed[player])
        if config.active_members:
            learning = learning[: config.active_members]
        share[player, learning if len(learning) else -1] = 1.0
    return share / share.sum(axis=1, keepdims=True)


def make_populations(tree: GameTree, tables: np.ndarray) -> tuple[Population, ...]:
    """Returns one population a player from policies `[N, I, A]` for all players."""
    # Probabilities of networks are float32, whose sums are 1 only up to rounding.
    whole = np.asarray(tables, np.float64)
    whole = whole / whole.sum(axis=2, keepdims=True)
    return tuple(
        tuple(make_policy(tree, player, member[tree.infosets_of(player)]) for member in whole)
        for player in range(tree.num_players)
    )


def make_graph_maker(config: NeuPLConfig, is_symmetric: bool = False) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function of payoffs `[2, N, N]` that makes the interaction graph `[2, N, N]` of a game.

    Args:
      config: the population.
      is_symmetric: True if members of the same index are the same policy, so that both players have the same
        rows; see `acme_psro.neupl.sinks.find_shared`.
    """

    def make(payoffs: np.ndarray) -> np.ndarray:
        payoffs = symmetrise(payoffs) if is_symmetric else np.asarray(payoffs, np.float64)
        return _make_once(config.graph, config.row_tolerance, payoffs.shape, payoffs.tobytes())

    return make


@functools.lru_cache(maxsize=8)
def _make_once(name: str, tolerance: float, shape: tuple[int, ...], payoffs: bytes) -> np.ndarray:
    """Returns a graph, not to be written to, from the content of payoffs.

    The loop and its oracle ask for the same graphs, which take long to make if there are many members.
    """
    graph = make_graph(name, np.frombuffer(payoffs).reshape(shape), tolerance)
    graph.flags.writeable = False
    return graph


def symmetrise(payoffs: np.ndarray) -> np.ndarray:
    """Returns payoffs `[2, N, N]` in which both players are in the same position: `(U - U^T) / 2`."""
    own = (payoffs[0] - payoffs[0].T) / 2
    return np.stack([own, -own])

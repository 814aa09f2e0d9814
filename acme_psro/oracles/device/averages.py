"""Averages of a policy over its training.

Dimensions: `S` snapshots; others as in `acme_psro.games.graph`.
"""

from __future__ import annotations

import numpy as np

from acme_psro.games.graph import GameGraph
from acme_psro.games.sweeps import observation_visits

# Visits of any observation, so that each has an average.
_LEAST = 1e-12


def average_policy(graph: GameGraph, player: int, tables: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns a player's average over snapshots, `[O_p, A]`, to which late ones count more.

    A snapshot counts at an observation by its number and by how often it comes there, which is what a network
    would learn that imitates the snapshots' games.

    Args:
      graph: the compiled game.
      player: whose policies are averaged.
      tables: `[S, O, A]`, the snapshots, of which the player's rows count.
      others: `[S, O, A]`, what the other player played beside each.
    """
    rows = graph.rows_of(player)
    total, weighed = np.zeros(rows.stop - rows.start), np.zeros((rows.stop - rows.start, graph.num_actions))
    for number, (table, other) in enumerate(zip(tables, others, strict=True), start=1):
        both = other.copy()
        both[rows] = table[rows]
        visits = number * (observation_visits(graph, both)[rows] + _LEAST)
        total += visits
        weighed += visits[:, None] * table[rows]
    average: np.ndarray = weighed / total[:, None]
    return average

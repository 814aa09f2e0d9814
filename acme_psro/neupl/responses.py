"""Tasks and responses of oracles that train whole populations: a task for each player, a population for each.

Dimensions: `P` = 2 players, `N` members.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from acme_psro.neupl.values import Values
from acme_psro.oracles.base import BestResponseTask, Counts, Response
from acme_psro.policies.tabular import Policy, Population

Task = BestResponseTask[Policy, np.ndarray]


def response_of(
    population: Population, values: Values, player: int, counts: Counts, metrics: dict[str, Any]
) -> Response[Policy]:
    """Returns a player's response: its population, and the mean gains of its members.

    Gains are over the best one of the members before, against the mixture that a member learns to exploit.

    Args:
      population: the player's members.
      values: of all members.
      player: the player.
      counts: the work that is counted for this player.
      metrics: the learner's own figures.
    """
    own, before, best = (each[player, 1:] for each in values)
    gain = float((own - before).mean())
    return dataclasses.replace(
        Response[Policy](None, gain, float((best - before).mean()), counts, metrics), others=population
    )


def payoffs_of(tasks: Sequence[Task]) -> np.ndarray:
    """Returns the payoffs `[2, N, N]` of the populations.

    Raises:
      ValueError: the tasks have none.
    """
    payoffs = tasks[0].payoffs
    if payoffs is None:
        raise ValueError("NeuPL needs the payoffs of its members: the interaction graph follows from them.")
    return payoffs

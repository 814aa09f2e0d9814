"""Tasks and responses of oracles that train whole populations: a task for each player, a population for each.

Dimensions: `P` = 2 players, `N` members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from acme_psro.meta_game.base import PolicyT
from acme_psro.neupl.values import Values
from acme_psro.oracles.base import BestResponseTask, Counts, Response
from acme_psro.policies.tabular import Policy

Task = BestResponseTask[Policy, np.ndarray]


def response_of(
    population: tuple[PolicyT, ...],
    values: Values,
    player: int,
    counts: Counts,
    metrics: dict[str, Any],
    payoffs: np.ndarray | None = None,
) -> Response[PolicyT]:
    """Returns a player's response: its population, and the mean gains of its members.

    Gains are over the best one of the members before, against the mixture that a member learns to exploit.

    Args:
      population: the player's members.
      values: of all members.
      player: the player.
      counts: the work that is counted for this player.
      metrics: the learner's own figures.
      payoffs: `[P, N, N]`, of all members; None if they are not known.
    """
    own, before, best = (each[player, 1:] for each in values)
    gain = float((own - before).mean())
    possible = float((best - before).mean())
    return Response(None, gain, possible, counts, metrics, others=population, payoffs=payoffs)


def known_payoffs(responses: Sequence[Response[PolicyT]]) -> np.ndarray | None:
    """Returns the payoffs `[P, N, N]` that responses bring along; None if they bring none."""
    return responses[0].payoffs


def payoffs_of(tasks: Sequence[BestResponseTask[PolicyT, np.ndarray]]) -> np.ndarray:
    """Returns the payoffs `[2, N, N]` of the populations.

    Raises:
      ValueError: the tasks have none.
    """
    payoffs = tasks[0].payoffs
    if payoffs is None:
        raise ValueError("NeuPL needs the payoffs of its members: the interaction graph follows from them.")
    return payoffs

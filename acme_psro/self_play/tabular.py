"""Magnetic mirror descent with exact values, on a policy that is a table (Sokota et al. 2022, section 4).

Every update looks at the whole game once instead of playing it. In games whose states merge, this takes a
fraction of a second for hundreds of thousands of states, and finds what agents learn from millions of
decisions. The method knows the game's rules and payoffs.

Dimensions: `O` observations over all players (the information states of a tree), `A` actions.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from acme_psro.games.action_values import action_values
from acme_psro.games.graph import GameGraph
from agents.self_play.config import ANNEALINGS

# The least probability: actions that are given up can come back.
_LEAST = 1e-30


@dataclasses.dataclass(frozen=True)
class TabularConfig:
    """Configuration of magnetic mirror descent on tables.

    Attributes:
      learning_rate: eta, the weight of values in an update. Values are divided by the game's largest return.
      temperature: alpha, the weight of the KL from the magnet.
      magnet_period: updates after which the policy becomes the magnet. Its fixed points then come ever
        closer to an equilibrium, although the temperature stays (Perolat et al. 2021). 0: the magnet is the
        uniform policy for ever, and the temperature should fall.
      annealing: "none", or "sqrt": in update t, learning rate and temperature are divided by sqrt(t).

    Raises:
      ValueError: a value is not allowed.
    """

    learning_rate: float = 0.2
    temperature: float = 0.2
    magnet_period: int = 50
    annealing: str = "none"

    def __post_init__(self) -> None:
        for name in ("learning_rate", "temperature"):
            # Written so that NaN is refused.
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"tabular_mmd's {name} must be above 0, not {getattr(self, name)}.")
        if self.magnet_period < 0:
            raise ValueError(f"tabular_mmd's magnet_period must be 0 or more, not {self.magnet_period}.")
        if self.annealing not in ANNEALINGS:
            raise ValueError(
                f"tabular_mmd's annealing must be one of {', '.join(ANNEALINGS)}, not {self.annealing!r}."
            )


class TabularState(NamedTuple):
    """State between two updates.

    Attributes:
      log_probs: `[O, A]` float64, logarithms of the policy; 0 for illegal actions.
      magnet: `[O, A]` float64, logarithms of the magnet; 0 for illegal actions.
      updates: number of updates so far.
    """

    log_probs: np.ndarray
    magnet: np.ndarray
    updates: int


class Terms(NamedTuple):
    """Means over an update's decisions, in nats.

    Attributes:
      entropy: entropy of the policy before the update.
      kl: KL of the policy after the update from the one before.
    """

    entropy: float
    kl: float


def init(graph: GameGraph) -> TabularState:
    """Returns the uniform policy, which is the magnet too."""
    return from_policy(graph, graph.uniform_policy())


def from_policy(graph: GameGraph, table: np.ndarray) -> TabularState:
    """Returns a policy `[O, A]` as the state before the first update; it is the magnet too."""
    start = _logs(graph, table)
    return TabularState(start, start, 0)


def policy(graph: GameGraph, state: TabularState) -> np.ndarray:
    """Returns the policy `[O, A]`, exactly 0 on illegal actions."""
    return _normalised(graph, state.log_probs)


def update(graph: GameGraph, config: TabularConfig, state: TabularState) -> tuple[TabularState, Terms]:
    """Returns the state after one update of all players at all observations, and its terms.

    The update maximises `<q, p> - alpha KL(p, magnet) - KL(p, before) / eta` at each observation, which has a
    solution in closed form (Sokota et al. 2022, equation 8).

    Raises:
      ValueError: the game is cyclic.
    """
    before = policy(graph, state)
    found = action_values(graph, before)
    fading = math.sqrt(state.updates + 1) if config.annealing == "sqrt" else 1.0
    rate, temperature = config.learning_rate / fading, config.temperature / fading
    pull = rate * temperature
    mixed = state.log_probs + rate * found.values / graph.utility_scale + pull * state.magnet
    after = _normalised(graph, mixed / (1 + pull))
    logs = _logs(graph, after)
    weights = found.visits / max(found.visits.sum(), np.finfo(float).tiny)
    terms = Terms(
        entropy=float(-weights @ (before * state.log_probs).sum(axis=1)),
        kl=float(weights @ (after * (logs - state.log_probs)).sum(axis=1)),
    )
    updates = state.updates + 1
    renews = config.magnet_period > 0 and updates % config.magnet_period == 0
    return TabularState(logs, logs if renews else state.magnet, updates), terms


def _normalised(graph: GameGraph, logs: np.ndarray) -> np.ndarray:
    legal = graph.legal_actions
    masked = np.where(legal, logs, -np.inf)
    weights = np.exp(masked - masked.max(axis=1, keepdims=True))
    normalised: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return normalised


def _logs(graph: GameGraph, table: np.ndarray) -> np.ndarray:
    """Returns logarithms of a policy, 0 for illegal actions."""
    return np.where(graph.legal_actions, np.log(np.maximum(table, _LEAST)), 0.0)

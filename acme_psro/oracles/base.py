"""What every oracle takes and gives.

A policy is whatever populations hold: an `acme_psro.policies.tabular.Policy` in a game that was compiled, an
`acme_psro.policies.stored.PolicyFile` where payoffs are simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from acme_psro.policies.meta_strategy import ProductStrategy


class BestResponseTask(NamedTuple):
    """Find a best response for one player against the others' meta-strategy.

    Attributes:
      player: who responds.
      populations: of all players.
      meta_strategy: by which the others draw their policies.
      payoffs: of the populations' profiles, as the outer loop has them; None where nobody asks for them.
    """

    player: int
    populations: tuple[tuple[Any, ...], ...]
    meta_strategy: ProductStrategy
    payoffs: Any = None


class Response(NamedTuple):
    """What an oracle found for one task.

    Attributes:
      policy: the response, or None where nothing was found that gains over the mixture.
      gain: what the response gains over the mixture, in utility units, also for one not kept.
      best_gain: what an exact best response gains; NaN where nobody knows.
      episodes: games played for it.
      env_steps: decisions taken by the learning player.
      gradient_steps: optimiser updates of the critic.
      metrics: the learner's own figures at the end of training.
      standard_error: of the gain; 0 where it is exact.
    """

    policy: Any
    gain: float
    best_gain: float
    episodes: int = 0
    env_steps: int = 0
    gradient_steps: int = 0
    metrics: Mapping[str, float] = MappingProxyType({})
    standard_error: float = 0.0


# key `[2]` uint32 (raw bits, split before every use) and tasks in, one response a task out.
Oracle = Callable[[np.ndarray, Sequence[BestResponseTask]], Sequence[Response]]

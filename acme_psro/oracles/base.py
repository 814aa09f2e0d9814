"""What every oracle takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from acme_psro.meta_strategy import MetaStrategy
from acme_psro.population import Policy, Population


class BestResponseTask(NamedTuple):
    """Find a best response for one player against the others' meta-strategy.

    Attributes:
      player: who responds.
      populations: of all players.
      meta_strategy: by which the others draw their policies.
    """

    player: int
    populations: tuple[Population, ...]
    meta_strategy: MetaStrategy


class Response(NamedTuple):
    """What an oracle found for one task.

    Attributes:
      policy: the response, or None where nothing was found that gains over the mixture.
      gain: what the response gains over the mixture, in utility units; exact, also for one not kept.
      best_gain: what an exact best response gains.
      episodes: games played for it.
      env_steps: decisions taken by the learning player.
      gradient_steps: optimiser updates of the critic.
      metrics: the learner's own figures at the end of training.
    """

    policy: Policy | None
    gain: float
    best_gain: float
    episodes: int = 0
    env_steps: int = 0
    gradient_steps: int = 0
    metrics: Mapping[str, float] = MappingProxyType({})


# key `[2]` uint32 (raw bits, split before every use) and tasks in, one response a task out.
Oracle = Callable[[np.ndarray, Sequence[BestResponseTask]], Sequence[Response]]

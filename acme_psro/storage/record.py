"""Record of a run's progress, as a checkpoint keeps it, and the format of its policies and payoffs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic

import numpy as np

from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.oracles.base import NO_MEMORY, Memory
from acme_psro.policies.meta_strategy import MetaStrategy
from acme_psro.psro.loop import PSROState


@dataclasses.dataclass(frozen=True, eq=False)
class Record(Generic[PolicyT, PayoffsT]):
    """Progress of a run, as a checkpoint keeps it.

    Attributes:
      state: the outer loop's state; its `responses` are not kept, as nothing later needs them.
      metrics: one row an iteration, beginning with the initial populations' row.
      meta_strategies: the meta-strategy of each row.
      memory: what the oracle remembers after the last iteration.
    """

    state: PSROState[PolicyT, PayoffsT]
    metrics: list[dict[str, float]]
    meta_strategies: list[MetaStrategy]
    memory: Memory = NO_MEMORY


@dataclasses.dataclass(frozen=True)
class Format(Generic[PolicyT, PayoffsT]):
    """The representation of policies and payoffs on disk; see `acme_psro.storage.formats`.

    Attributes:
      game: digest of the game's content. Runs of a game that has changed since are not read.
      pack_policy: (policy, player) -> the content of the policy's file.
      read_policy: (file, player) -> policy; raises a ValueError or KeyError if the file does not fit.
      pack_payoffs: payoffs -> arrays by name, "payoffs" among them.
      unpack_payoffs: those arrays, among others -> payoffs; raises a KeyError if one is missing.
      lasting: True if a policy never changes once it has its index. Otherwise the names of files tell what is
        in them, so that earlier checkpoints stay whole.
    """

    game: str
    pack_policy: Callable[[PolicyT, int], bytes]
    read_policy: Callable[[Path, int], PolicyT]
    pack_payoffs: Callable[[PayoffsT], dict[str, np.ndarray]]
    unpack_payoffs: Callable[[Mapping[str, np.ndarray]], PayoffsT]
    lasting: bool = True

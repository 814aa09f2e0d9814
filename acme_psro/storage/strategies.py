"""Meta-strategies of a run in its checkpoints.

Distributions over populations are small, and every checkpoint holds those of all iterations. Policies from
outside of the populations are as large as policies, so each has a file of its own, written once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from acme_psro.policies.meta_strategy import (
    BehaviouralStrategy,
    JointStrategy,
    MetaStrategy,
    ProductStrategy,
)
from acme_psro.storage.checkpoint_files import strategy_path, unpack
from acme_psro.system.archives import pack
from acme_psro.system.files import write_atomically


def to_arrays(strategies: Sequence[MetaStrategy], players: int) -> dict[str, np.ndarray]:
    """Returns the meta-strategies as arrays: every player's marginals in one, others by row.

    Args:
      strategies: the meta-strategies of all rows of metrics.
      players: the number of players.
    """
    arrays = {}
    for player in range(players):
        marginals = [
            strategy.marginals[player] if isinstance(strategy, ProductStrategy) else np.zeros(0)
            for strategy in strategies
        ]
        arrays[f"lengths_{player}"] = np.array([len(marginal) for marginal in marginals])
        arrays[f"marginals_{player}"] = np.concatenate(marginals)
    for row, strategy in enumerate(strategies):
        if isinstance(strategy, JointStrategy):
            arrays[f"joint_profiles_{row}"] = strategy.profiles
            arrays[f"joint_probabilities_{row}"] = strategy.probabilities
    in_files = [row for row, strategy in enumerate(strategies) if isinstance(strategy, BehaviouralStrategy)]
    return arrays | ({"behavioural": np.array(in_files)} if in_files else {})


def from_arrays(
    arrays: Mapping[str, np.ndarray], rows: int, players: int, directory: Path
) -> list[MetaStrategy]:
    """Returns the meta-strategies of all rows.

    Args:
      arrays: those of `to_arrays`, among others.
      rows: the number of rows of metrics.
      players: the number of players.
      directory: the directory of checkpoints.

    Raises:
      KeyError: an array is missing.
      OSError: a file cannot be read.
    """
    marginals = [
        np.split(arrays[f"marginals_{p}"], np.cumsum(arrays[f"lengths_{p}"])[:-1]) for p in range(players)
    ]
    in_files = frozenset(arrays.get("behavioural", ()))
    strategies: list[MetaStrategy] = []
    for row in range(rows):
        if row in in_files:
            tables = unpack(strategy_path(directory, row))
            strategies.append(BehaviouralStrategy(tuple(tables[f"player_{p}"] for p in range(players))))
        elif f"joint_profiles_{row}" in arrays:
            joint = (arrays[f"joint_profiles_{row}"], arrays[f"joint_probabilities_{row}"])
            strategies.append(JointStrategy(*joint))
        else:
            strategies.append(ProductStrategy(tuple(own[row] for own in marginals)))
    return strategies


def write_files(directory: Path, strategies: Sequence[MetaStrategy]) -> list[Path]:
    """Writes the files that are missing, and returns those that the meta-strategies need."""
    paths = []
    for row, strategy in enumerate(strategies):
        if isinstance(strategy, BehaviouralStrategy):
            path = strategy_path(directory, row)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                tables = {f"player_{player}": table for player, table in enumerate(strategy.tables)}
                write_atomically(path, pack(tables))
            paths.append(path)
    return paths

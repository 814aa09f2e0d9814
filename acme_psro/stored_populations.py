"""Populations of stored policies: of each policy, the file that it lies in.

A file is written before anybody plays its policy, and never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from acme_psro import stored_policies
from acme_psro.meta_strategy import MetaStrategy
from acme_psro.mixtures import Mixture
from acme_psro.stored_policies import StoredPolicy


class PolicyFile(NamedTuple):
    """One player's policy.

    Attributes:
      path: of a stored policy, see `acme_psro.stored_policies`.
    """

    path: Path


def write(path: Path, policy: StoredPolicy) -> PolicyFile:
    """Writes a policy that joins a population, making the directory.

    Raises:
      StoredPolicyError: it lacks what every policy must say of itself.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stored_policies.write(path, policy)
    return PolicyFile(path)


def read(path: Path, game: str, player: int) -> PolicyFile:
    """A policy that was written earlier, its file checked.

    Args:
      path: of the file.
      game: `str` of OpenSpiel's, turn-based.
      player: whose policy it must be.

    Raises:
      StoredPolicyError: no whole policy of that game and player.
    """
    stored_policies.check_fits(stored_policies.read(path), game, player, str(path))
    return PolicyFile(path)


def load_mixture(
    game: str, populations: Sequence[Sequence[PolicyFile]], meta_strategy: MetaStrategy
) -> Mixture:
    """The mixture of populations by a meta-strategy; policies without weight are not read.

    Raises:
      StoredPolicyError: a file is missing, or was truncated or altered.
    """
    policies = tuple(
        tuple(
            stored_policies.read(policy.path) if weight > 0 else None
            for policy, weight in zip(population, marginal, strict=True)
        )
        for population, marginal in zip(populations, meta_strategy.marginals, strict=True)
    )
    return Mixture(game, policies, meta_strategy.marginals)

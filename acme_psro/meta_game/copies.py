"""The meta-game of populations that begin as copies of one policy a player, in games of any size.

Later payoffs are known to the oracle that trains the populations, whose responses bring them along
(`acme_psro.psro.loop.Loop.known_payoffs`).

Dimensions: `P` players, `n_p` policies of player p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from acme_psro.meta_game import simulation
from acme_psro.meta_game.estimates import SampledPayoffs
from acme_psro.policies import decoders, stored
from acme_psro.policies.stored import PolicyFile, StoredPolicy


class CopiesMetaGame:
    """Meta-game that estimates the payoffs of the first populations; see `acme_psro.meta_game.base.MetaGame`.

    Args:
      name: the game's name, see `acme_psro.games.identity`.
      policies: the players' first policies.
      store: (player, index, policy) -> the policy as a file.
      episodes: episodes by which the payoffs of the first policies are estimated, at least 2.
      seed: seed of these episodes, not negative.
    """

    def __init__(
        self,
        name: str,
        policies: Sequence[StoredPolicy],
        store: Callable[[int, int, StoredPolicy], PolicyFile],
        episodes: int,
        seed: int,
    ) -> None:
        self._name, self._policies, self._store = name, policies, store
        self._episodes, self._seed = episodes, seed

    def first(self) -> tuple[PolicyFile, ...]:
        """Returns the first policies, having written them."""
        return tuple(self._store(player, 0, policy) for player, policy in enumerate(self._policies))

    def extend(
        self, populations: Sequence[tuple[PolicyFile, ...]], known: SampledPayoffs | None
    ) -> SampledPayoffs:
        """Estimates the payoffs of copies of the first policies: all profiles have the same.

        Raises:
          ValueError: the policies of a player differ.
        """
        del known
        for player, own in enumerate(populations):
            if len(set(own)) != 1:
                raise ValueError(
                    f"the policies of player {player} differ: their payoffs are known to the oracle that "
                    "trained them."
                )
        policies = [[decoders.decode(stored.read(own[0].path), decoders.DECODERS)] for own in populations]
        profile = np.zeros((1, len(populations)), int)
        played = simulation.simulate(self._name, policies, profile, self._episodes, self._seed)
        sizes = [len(own) for own in populations]
        axes = (slice(None), *(None for _ in sizes))
        return SampledPayoffs(
            np.broadcast_to(played.mean[0][axes], (len(sizes), *sizes)).copy(),
            np.full(sizes, self._episodes, np.int64),
            np.broadcast_to(played.standard_error[0][axes], (len(sizes), *sizes)).copy(),
        )

    def tensor(self, payoffs: SampledPayoffs) -> np.ndarray:
        """Returns the mean payoffs `[P, n_1, .., n_P]`."""
        return payoffs.mean

"""Exact payoffs: expected returns of profiles of policies, summed over every end of a compiled game."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acme_psro.games.tree import GameTree
from acme_psro.meta_game.payoffs import empty_payoffs, extend_payoffs, missing_boxes
from acme_psro.policies.tabular import Policy, Population, own_sequences, uniform_policy

# Numbers that an array of reaches may hold.
_MOST_NUMBERS = 20_000_000


class ExactMetaGame:
    """The meta-game of tables on a compiled game; see `acme_psro.meta_game.base.MetaGame`.

    Args:
      tree: the compiled game.
      first: the players' first policies; None for uniform ones.
    """

    def __init__(self, tree: GameTree, first: tuple[Policy, ...] | None = None) -> None:
        self._tree, self._first = tree, first

    def first(self) -> tuple[Policy, ...]:
        """Returns the policies that populations begin with."""
        if self._first is not None:
            return self._first
        return tuple(uniform_policy(self._tree, player) for player in range(self._tree.num_players))

    def extend(self, populations: Sequence[Population], known: np.ndarray | None) -> np.ndarray:
        """Returns the payoff tensor `[P, n_1, .., n_P]`; only cells that `known` lacks are computed."""
        return exact_payoffs(self._tree, populations, known)

    def tensor(self, payoffs: np.ndarray) -> np.ndarray:
        """Returns the payoffs themselves."""
        return payoffs


def exact_payoffs(
    tree: GameTree, populations: Sequence[Population], known: np.ndarray | None = None
) -> np.ndarray:
    """Returns the payoff tensor `[P, n_1, .., n_P]` of the populations, its new cells computed exactly.

    Args:
      tree: the compiled game.
      populations: one a player.
      known: the tensor of smaller populations, without missing cells; None: nothing is known.
    """
    known = empty_payoffs(len(populations)) if known is None else known
    sizes = [len(population) for population in populations]
    filled = extend_payoffs(known, sizes)
    for box in missing_boxes(known.shape[1:], sizes):
        parts = [population[part] for population, part in zip(populations, box, strict=True)]
        cells = (slice(None), *box)
        filled[cells] = _payoffs_of(tree, parts)
    return filled


def _payoffs_of(tree: GameTree, parts: Sequence[Population]) -> np.ndarray:
    """Returns `[P, n_1, .., n_P]`: the payoffs of all profiles of some policies."""
    # Player p's payoff is the sum over terminal nodes z of chance(z) * returns[p, z] * prod_q reach_q(z).
    # Short axes, as those of new policies, are looped over first: pure policies reach few ends of the game,
    # and the others are drawn for these ends only. The longest axis goes into one matrix product.
    order = sorted(range(len(parts)), key=lambda player: len(parts[player]))

    def contract(returns: np.ndarray, places: np.ndarray, done: int) -> np.ndarray:
        """Sums returns `[P, m]` of ends with places `[P, m]` in plans over players from `done` on."""
        player = order[done]
        if done == len(order) - 1:
            return _products(returns, places[player], parts[player])
        found = []
        for policy in parts[player]:
            own = policy.plan[places[player]]
            kept = np.flatnonzero(own)
            found.append(contract(returns[:, kept] * own[kept], places[:, kept], done + 1))
        return np.stack(found, axis=1)

    places = [
        own_sequences(tree, player, sequences) for player, sequences in enumerate(tree.terminal_sequences)
    ]
    found = contract(tree.terminal_returns, np.stack(places), 0)
    return np.moveaxis(found, range(1, 1 + len(order)), [1 + player for player in order])


def _products(returns: np.ndarray, places: np.ndarray, population: Population) -> np.ndarray:
    """Returns `[P, n]`: returns `[P, m]`, weighed by each policy's reach and summed over ends."""
    at_once = max(1, _MOST_NUMBERS // max(len(places), 1))
    parts = [population[start : start + at_once] for start in range(0, len(population), at_once)]
    return np.concatenate(
        [returns @ np.stack([policy.plan[places] for policy in part]).T for part in parts], axis=1
    )

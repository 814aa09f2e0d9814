"""Payoff tensors of the meta-game: checks, growth, and values of meta-strategies in them.

A payoff tensor has shape `[P, n_1, .., n_P]`: entry `[p, i_1, .., i_P]` is player p's expected
return when every player q plays policy `i_q` of its population. A cell that has not been filled is NaN.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from acme_psro.meta_game.profiles import others_probabilities, require_sizes
from acme_psro.policies.meta_strategy import JointStrategy, PopulationStrategy

# Beyond this a payoff range can overflow float64, and a solver would answer from infinities.
_LARGEST_PAYOFF = 1e300


def check_payoffs(payoffs: np.ndarray) -> np.ndarray:
    """Returns the payoff tensor as float64 `[P, n_1, .., n_P]`.

    Raises:
      ValueError: the array has not one axis per player beside the first, a population is empty,
        or a payoff is not finite.
    """
    payoffs = np.asarray(payoffs, dtype=np.float64)
    if payoffs.ndim < 2 or payoffs.ndim != payoffs.shape[0] + 1:
        raise ValueError(
            f"payoffs have shape {payoffs.shape}; give [P, n_1, .., n_P], one axis for each of the"
            " P players after the first axis of length P"
        )
    if 0 in payoffs.shape[1:]:
        empty = payoffs.shape[1:].index(0)
        raise ValueError(
            f"player {empty} has an empty population (payoffs have shape {payoffs.shape});"
            " add a policy before solving"
        )
    # The comparison is false for NaN too.
    num_bad = payoffs.size - int(np.count_nonzero(np.abs(payoffs) <= _LARGEST_PAYOFF))
    if num_bad:
        raise ValueError(
            f"{num_bad} of {payoffs.size} payoffs are NaN, infinite or beyond {_LARGEST_PAYOFF:g}"
            " in size; fill every cell with a finite number before solving"
        )
    return payoffs


def unit_payoffs(payoffs: np.ndarray) -> np.ndarray:
    """Returns the payoffs shifted and scaled to [0, 1] for each player by itself.

    No player's preference changes, so step sizes and tolerances of a solver mean the same in every
    game. A player whose payoffs are all equal gets zeros.

    Args:
      payoffs: float64 `[P, n_1, .., n_P]`, finite.
    """
    cells = tuple(range(1, payoffs.ndim))
    lowest = payoffs.min(axis=cells, keepdims=True)
    spread = payoffs.max(axis=cells, keepdims=True) - lowest
    return (payoffs - lowest) / np.where(spread > 0.0, spread, 1.0)


def deviation_payoffs(payoffs: np.ndarray, meta_strategy: PopulationStrategy, player: int) -> np.ndarray:
    """Returns `[n_player]`, the expected payoffs of `player`'s policies against the others' meta-strategy.

    Args:
      payoffs: `[P, n_1, .., n_P]`.
      meta_strategy: over populations of these sizes; of `player`'s own part only its correlation with the
        others is used, which is summed over.
      player: the player whose payoffs are computed.

    Raises:
      ValueError: the meta-strategy does not match the payoffs.
    """
    require_sizes(meta_strategy, payoffs.shape[1:])
    table = payoffs[player]
    if isinstance(meta_strategy, JointStrategy):
        others = tuple(axis for axis in range(table.ndim) if axis != player)
        earned: np.ndarray = (table * others_probabilities(meta_strategy, table.shape, player)).sum(
            axis=others
        )
        return earned
    # From the last axis down, so that the axes still to contract keep their number.
    for other in reversed(range(table.ndim)):
        if other != player:
            table = np.tensordot(table, meta_strategy.marginals[other], axes=(other, 0))
    return table


def own_tables(payoffs: np.ndarray) -> list[np.ndarray]:
    """Returns every player's payoffs with its own axis first, contiguous in memory for fast products."""
    return [np.ascontiguousarray(np.moveaxis(table, player, 0)) for player, table in enumerate(payoffs)]


def earned_against(table: np.ndarray, strategies: Sequence[np.ndarray], player: int) -> np.ndarray:
    """Returns `[n_player]`: the same as `deviation_payoffs`, three to five times as fast, for inner loops.

    Args:
      table: the player's payoffs, of `own_tables`.
      strategies: `[n_p]` of every player; the player's own is not used.
      player: the player.
    """
    # Contracting the last axis first keeps every product a plain matrix-vector product.
    for other in reversed(range(len(strategies))):
        if other != player:
            table = table.reshape(-1, len(strategies[other])) @ strategies[other]
    return table.reshape(-1)


def value(payoffs: np.ndarray, meta_strategy: PopulationStrategy) -> np.ndarray:
    """Returns `[P]`: every player's expected payoff when all play the meta-strategy.

    Args:
      payoffs: `[P, n_1, .., n_P]`.
      meta_strategy: over populations of these sizes.

    Raises:
      ValueError: the meta-strategy does not match the payoffs.
    """
    if isinstance(meta_strategy, JointStrategy):
        require_sizes(meta_strategy, payoffs.shape[1:])
        profiles = tuple(meta_strategy.profiles.T)
        return np.array([table[profiles] @ meta_strategy.probabilities for table in payoffs])
    return np.array(
        [
            deviation_payoffs(payoffs, meta_strategy, player) @ marginal
            for player, marginal in enumerate(meta_strategy.marginals)
        ]
    )


def meta_regret(payoffs: np.ndarray, meta_strategy: PopulationStrategy) -> np.ndarray:
    """Returns `[P]`, >= 0: each player's gain by the best single policy of its population.

    All zeros exactly when marginals are a Nash equilibrium of the meta-game, or a joint distribution is a
    coarse correlated equilibrium of it; it says nothing about policies outside the populations (that is
    NashConv).

    Args:
      payoffs: `[P, n_1, .., n_P]`.
      meta_strategy: over populations of these sizes.

    Raises:
      ValueError: the meta-strategy does not match the payoffs.
    """
    best = np.array(
        [deviation_payoffs(payoffs, meta_strategy, player).max() for player in range(len(payoffs))]
    )
    # An average never exceeds the maximum; rounding may say so by one unit in the last place.
    return np.maximum(best - value(payoffs, meta_strategy), 0.0)


def empty_payoffs(num_players: int) -> np.ndarray:
    """Returns the payoff tensor of populations without policies, `[P, 0, .., 0]`."""
    return np.empty((num_players,) + (0,) * num_players)


def extend_payoffs(payoffs: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Returns the tensor for populations of the given sizes: known cells are kept, new ones are NaN.

    Raises:
      ValueError: sizes below the present ones; populations only grow.
    """
    if len(sizes) != payoffs.shape[0] or any(
        new < old for new, old in zip(sizes, payoffs.shape[1:], strict=True)
    ):
        raise ValueError(f"a payoff tensor of {payoffs.shape[1:]} cannot become one of {tuple(sizes)}.")
    grown = np.full((payoffs.shape[0], *sizes), np.nan)
    known = (slice(None), *(slice(size) for size in payoffs.shape[1:]))
    grown[known] = payoffs
    return grown


def missing_boxes(known: Sequence[int], sizes: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Yields disjoint boxes of profiles that are in a tensor of `sizes` and not in one of `known` sizes."""
    for player, (old, new) in enumerate(zip(known, sizes, strict=True)):
        if new > old:
            before = tuple(slice(0, size) for size in known[:player])
            after = tuple(slice(0, size) for size in sizes[player + 1 :])
            box = (*before, slice(old, new), *after)
            if all(part.stop > part.start for part in box):
                yield box

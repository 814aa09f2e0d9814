"""Meta-strategies: distributions over populations, and how policies are drawn from them.

A meta-strategy is either a product of marginals (every player draws its own policy), or one joint
distribution over profiles (as a correlated equilibrium is), or one policy for each player that need not be in
its population (as an equilibrium of a restricted game is); the three are told apart by type.

Dimensions: `P` players, `n_p` policies of player p, `K` profiles, `n` episodes, `I_p` information states of
player p, `A` actions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Draw = Callable[[np.random.Generator, int], np.ndarray]

_TOLERANCE = 1e-6


class MixtureError(ValueError):
    """A mixture that cannot be used; the message is one line for the user."""


class ProductStrategy(NamedTuple):
    """A distribution over populations, independent between players.

    Attributes:
      marginals: for every player p, a float64 array `[n_p]`, non-negative, summing to 1. In a mixture of
        opponents the responding player may have no policies; its marginal is then empty.
    """

    marginals: tuple[np.ndarray, ...]


class JointStrategy(NamedTuple):
    """One distribution over profiles: the players' policies are drawn together.

    Attributes:
      profiles: `[K, P]` int, each player's policy.
      probabilities: `[K]` float64, non-negative, summing to 1.
    """

    profiles: np.ndarray
    probabilities: np.ndarray


class BehaviouralStrategy(NamedTuple):
    """One policy for each player in a compiled game, which draws an action at every information state.

    Attributes:
      tables: for every player p, a float64 array `[I_p, A]`, whose rows sum to 1 over legal actions. On a
        graph of merged states there is a row for each of the player's observations.
    """

    tables: tuple[np.ndarray, ...]


PopulationStrategy: TypeAlias = ProductStrategy | JointStrategy
MetaStrategy: TypeAlias = PopulationStrategy | BehaviouralStrategy


def require_weights(meta_strategy: MetaStrategy) -> PopulationStrategy:
    """Returns the meta-strategy if it is a distribution over populations.

    Raises:
      ValueError: it is one policy for each player.
    """
    if isinstance(meta_strategy, BehaviouralStrategy):
        raise ValueError(
            "this needs weights of policies, and the meta-strategy is one policy for each player, as of "
            "--loop=xdo."
        )
    return meta_strategy


def require_product(meta_strategy: MetaStrategy) -> ProductStrategy:
    """Returns the meta-strategy if it is a product of marginals.

    Raises:
      ValueError: it is a joint distribution, whose marginals alone would say something else, or one policy
        for each player.
    """
    meta_strategy = require_weights(meta_strategy)
    if isinstance(meta_strategy, JointStrategy):
        raise ValueError(
            "this needs independent marginals, and the meta-strategy is a joint distribution over profiles: "
            "use a meta-solver that returns marginals."
        )
    return meta_strategy


def marginal(meta_strategy: PopulationStrategy, player: int, size: int) -> np.ndarray:
    """Returns `[size]`: how often each of the player's policies is drawn.

    Args:
      meta_strategy: a product or a joint distribution.
      player: whose marginal.
      size: the number of the player's policies.
    """
    if isinstance(meta_strategy, ProductStrategy):
        return meta_strategy.marginals[player]
    profiles, probabilities = meta_strategy
    return np.bincount(profiles[:, player], probabilities, size)


def make_draw(meta_strategy: PopulationStrategy) -> Draw:
    """Returns (rng, n) -> `[n, P]` int: every player's policy in each of n episodes.

    A player with an empty marginal gets 0.
    """
    if isinstance(meta_strategy, JointStrategy):
        bounds = _bounds(meta_strategy.probabilities)
        profiles = meta_strategy.profiles
        return lambda rng, n: profiles[_locate(bounds, rng.random(n))]
    columns = [_bounds(weights) if len(weights) else np.ones(1) for weights in meta_strategy.marginals]

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        # A player without policies uses up random numbers too, so that the others' draws do not depend on it.
        uniform = rng.random((len(columns), n))
        return np.stack([_locate(*column) for column in zip(columns, uniform, strict=True)], axis=1)

    return draw


def spread_draws(marginal: np.ndarray, rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns `[n]` int: policies in random order, each drawn in proportion to its weight to within one.

    Every single entry is distributed by the weights, so means over all entries are unbiased.
    """
    # Systematic sampling: one random offset for n equally spaced points.
    points = (rng.random() + np.arange(n)) / n
    # Rounding may take the last point to 1 itself, which lies beyond every policy's interval.
    # The permutation makes the draws of several players independent of each other.
    return rng.permutation(_locate(_bounds(marginal), np.minimum(points, np.nextafter(1.0, 0.0))))


def _bounds(probabilities: np.ndarray) -> np.ndarray:
    """Upper ends of the intervals of [0, 1); the last one with weight ends at 1 whatever rounding did."""
    sums = np.cumsum(probabilities)
    bounds = sums / sums[-1]
    bounds[np.flatnonzero(probabilities)[-1] :] = 1.0
    return bounds


def _locate(bounds: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    # From the right, so that a uniform number of exactly 0 skips leading policies without weight.
    return np.searchsorted(bounds, uniform, side="right")


def drawn_policies(
    meta_strategy: PopulationStrategy, policies: Sequence[Sequence[Any]]
) -> list[tuple[int, int]]:
    """Returns (player, index) of every policy with weight above 0."""
    if isinstance(meta_strategy, JointStrategy):
        profiles = meta_strategy.profiles[meta_strategy.probabilities > 0]
        pairs = {(p, int(k)) for p in range(len(policies)) for k in profiles[:, p] if len(policies[p])}
        return sorted(pairs)
    return [(p, int(k)) for p, weights in enumerate(meta_strategy.marginals) for k in np.flatnonzero(weights)]


def check_meta_strategy(meta_strategy: PopulationStrategy, sizes: Sequence[int]) -> PopulationStrategy:
    """Returns the meta-strategy with its numbers as arrays.

    Args:
      meta_strategy: to check.
      sizes: policies of each player; one player, who responds, may have none.

    Raises:
      MixtureError: it is not a distribution over populations of these sizes.
    """
    if sum(size == 0 for size in sizes) > 1:
        raise MixtureError("only the player who responds may be without policies, and several are.")
    if isinstance(meta_strategy, JointStrategy):
        return _checked_joint(meta_strategy, sizes)
    marginals = meta_strategy.marginals
    if len(marginals) != len(sizes):
        raise MixtureError(
            f"there are {len(marginals)} marginals for {len(sizes)} players: give one for each."
        )
    checked = []
    for player, (weights, size) in enumerate(zip(marginals, sizes, strict=True)):
        array = np.asarray(weights, np.float64)
        if array.shape != (size,):
            raise MixtureError(
                f"the marginal of player {player} has shape {array.shape}, for {size} policies: give one "
                "weight a policy."
            )
        if size:
            _check_distribution(array, f"the marginal of player {player}")
        checked.append(array)
    return ProductStrategy(tuple(checked))


def _checked_joint(joint: JointStrategy, sizes: Sequence[int]) -> JointStrategy:
    profiles, probabilities = np.asarray(joint.profiles), np.asarray(joint.probabilities, np.float64)
    if profiles.shape != (*probabilities.shape, len(sizes)) or profiles.dtype.kind not in "iu":
        raise MixtureError(
            f"joint profiles must be whole numbers of shape ({len(probabilities)}, {len(sizes)}), one a "
            f"probability and player, not {profiles.dtype} of shape {profiles.shape}."
        )
    _check_distribution(probabilities, "the joint distribution")
    for player, size in enumerate(sizes):
        column = profiles[:, player]
        if size and ((column < 0) | (column >= size)).any():
            raise MixtureError(f"a joint profile names a policy of player {player} beyond its {size}.")
    return JointStrategy(profiles, probabilities)


def _check_distribution(weights: np.ndarray, name: str) -> None:
    # Negated comparisons also catch NaN.
    if not (weights >= 0).all():
        raise MixtureError(f"{name} has weights that are negative or NaN.")
    if not abs(weights.sum() - 1) <= _TOLERANCE:
        raise MixtureError(f"{name} sums to {weights.sum():.6g}, not to 1: normalise it.")


def meta_strategy_to_json(meta_strategy: PopulationStrategy) -> dict[str, Any]:
    """Returns the meta-strategy as JSON."""
    if isinstance(meta_strategy, JointStrategy):
        return {
            "profiles": meta_strategy.profiles.tolist(),
            "probabilities": meta_strategy.probabilities.tolist(),
        }
    return {"marginals": [weights.tolist() for weights in meta_strategy.marginals]}


def meta_strategy_from_json(data: dict[str, Any]) -> PopulationStrategy:
    """Returns the meta-strategy that `meta_strategy_to_json` wrote."""
    if "marginals" in data:
        return ProductStrategy(tuple(np.array(weights, np.float64) for weights in data["marginals"]))
    return JointStrategy(np.array(data["profiles"], np.int64), np.array(data["probabilities"], np.float64))

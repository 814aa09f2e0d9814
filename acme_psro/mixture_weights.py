"""How opponents are drawn: every player for itself, or all at once.

Dimensions: `P` players, `n_p` policies of player p, `K` profiles, `n` episodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

Draw = Callable[[np.random.Generator, int], np.ndarray]

_TOLERANCE = 1e-6


class MixtureError(ValueError):
    """A mixture that cannot be used; the message is one line for the user."""


class Joint(NamedTuple):
    """One distribution over profiles.

    Attributes:
      profiles: `[K, P]` int, each player's policy.
      probabilities: `[K]` float64.
    """

    profiles: np.ndarray
    probabilities: np.ndarray


# Every player's marginal `[n_p]`, empty for a player without policies; or one joint distribution.
Weights = tuple[np.ndarray, ...] | Joint


def make_draw(weights: Weights) -> Draw:
    """(rng, n) -> `[n, P]` int: every player's policy in each of n episodes.

    A player with an empty marginal gets 0.
    """
    if isinstance(weights, Joint):
        bounds = _bounds(weights.probabilities)
        return lambda rng, n: weights.profiles[_place(bounds, rng.random(n))]
    columns = [_bounds(marginal) if len(marginal) else np.ones(1) for marginal in weights]

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        uniform = rng.random((len(columns), n))
        return np.stack([_place(*column) for column in zip(columns, uniform, strict=True)], axis=1)

    return draw


def spread(marginal: np.ndarray, rng: np.random.Generator, n: int) -> np.ndarray:
    """`[n]` int: policies by their weights, each as often as its own has it to within one, in any order.

    Each place by itself is drawn by the weights, so that means over all are those of plain draws.
    """
    places = (rng.random() + np.arange(n)) / n
    # Rounding may take the last place to 1 itself, which is nobody's.
    return rng.permutation(_place(_bounds(marginal), np.minimum(places, np.nextafter(1.0, 0.0))))


def _bounds(probabilities: np.ndarray) -> np.ndarray:
    """Where each one's part of [0, 1) ends; the last that is above 0 ends at 1 whatever rounding did."""
    sums = np.cumsum(probabilities)
    bounds = sums / sums[-1]
    bounds[np.flatnonzero(probabilities)[-1] :] = 1.0
    return bounds


def _place(bounds: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    return np.searchsorted(bounds, uniform, side="right")


def drawn(weights: Weights, policies: Sequence[Sequence[Any]]) -> list[tuple[int, int]]:
    """Every player and index of a policy that is ever drawn."""
    if isinstance(weights, Joint):
        profiles = weights.profiles[weights.probabilities > 0]
        pairs = {(p, int(k)) for p in range(len(policies)) for k in profiles[:, p] if len(policies[p])}
        return sorted(pairs)
    return [(p, int(k)) for p, marginal in enumerate(weights) for k in np.flatnonzero(marginal)]


def check(weights: Weights, sizes: Sequence[int]) -> Weights:
    """The weights as arrays.

    Raises:
      MixtureError: they are no distributions over populations of these sizes.
    """
    if sum(size == 0 for size in sizes) > 1:
        raise MixtureError("only the player who responds may be without policies, and several are.")
    if isinstance(weights, Joint):
        return _checked_joint(weights, sizes)
    if len(weights) != len(sizes):
        raise MixtureError(f"there are {len(weights)} marginals for {len(sizes)} players: give one for each.")
    checked = []
    for player, (marginal, size) in enumerate(zip(weights, sizes, strict=True)):
        array = np.asarray(marginal, np.float64)
        if array.shape != (size,):
            raise MixtureError(
                f"the marginal of player {player} has shape {array.shape}, for {size} policies: give one "
                "weight a policy."
            )
        if size:
            _check_distribution(array, f"the marginal of player {player}")
        checked.append(array)
    return tuple(checked)


def _checked_joint(joint: Joint, sizes: Sequence[int]) -> Joint:
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
    return Joint(profiles, probabilities)


def _check_distribution(weights: np.ndarray, what: str) -> None:
    # Written so that NaN is caught.
    if not (weights >= 0).all():
        raise MixtureError(f"{what} has weights that are negative or NaN.")
    if not abs(weights.sum() - 1) <= _TOLERANCE:
        raise MixtureError(f"{what} sums to {weights.sum():.6g}, not to 1: normalise it.")


def to_json(weights: Weights) -> dict[str, Any]:
    """The weights as JSON."""
    if isinstance(weights, Joint):
        return {"profiles": weights.profiles.tolist(), "probabilities": weights.probabilities.tolist()}
    return {"marginals": [marginal.tolist() for marginal in weights]}


def from_json(data: dict[str, Any]) -> Weights:
    """The weights that `to_json` made JSON of."""
    if "marginals" in data:
        return tuple(np.array(marginal, np.float64) for marginal in data["marginals"])
    return Joint(np.array(data["profiles"], np.int64), np.array(data["probabilities"], np.float64))

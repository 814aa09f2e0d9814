"""Probabilities of profiles under a meta-strategy, and gains of players who do not follow recommendations.

Dimensions: `P` players, `n_p` policies of player p.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from acme_psro.policies.meta_strategy import JointStrategy, PopulationStrategy, ProductStrategy
from acme_psro.policies.meta_strategy import marginal as marginal_of

# Probabilities of profiles may differ by so much from products of marginals.
_INDEPENDENT = 1e-9


def require_sizes(meta_strategy: PopulationStrategy, sizes: Sequence[int]) -> None:
    """Checks that a meta-strategy is one over populations of these sizes.

    Raises:
      ValueError: it is not.
    """
    sizes = tuple(sizes)
    if isinstance(meta_strategy, JointStrategy):
        shape = meta_strategy.profiles.shape
        if shape[1] != len(sizes) or (meta_strategy.profiles >= np.array(sizes)).any():
            raise ValueError(
                f"the joint distribution has profiles of {shape[1]} players that do not fit populations of "
                f"sizes {sizes}; solve this payoff tensor again"
            )
        return
    lengths = tuple(len(marginal) for marginal in meta_strategy.marginals)
    if lengths != sizes:
        raise ValueError(
            f"the meta-strategy has marginals of lengths {lengths} but the payoffs have"
            f" populations of sizes {sizes}; solve this payoff tensor again"
        )


def cell_probabilities(meta_strategy: PopulationStrategy, sizes: Sequence[int]) -> np.ndarray:
    """Returns `[n_1, .., n_P]`: the probability of each profile.

    Raises:
      ValueError: the meta-strategy does not match the sizes.
    """
    require_sizes(meta_strategy, sizes)
    if isinstance(meta_strategy, JointStrategy):
        cells = np.zeros(tuple(sizes))
        np.add.at(cells, tuple(meta_strategy.profiles.T), meta_strategy.probabilities)
        return cells
    return _outer(meta_strategy.marginals)


def others_probabilities(meta_strategy: PopulationStrategy, sizes: Sequence[int], player: int) -> np.ndarray:
    """Returns `[n_1, .., 1, .., n_P]`: the probability of each choice of the other players.

    The player's own axis has length 1.

    Raises:
      ValueError: the meta-strategy does not match the sizes.
    """
    if isinstance(meta_strategy, JointStrategy):
        return cell_probabilities(meta_strategy, sizes).sum(axis=player, keepdims=True)
    require_sizes(meta_strategy, sizes)
    return _outer(
        [np.ones(1) if other == player else own for other, own in enumerate(meta_strategy.marginals)]
    )


def drawn_others(
    meta_strategy: PopulationStrategy, sizes: Sequence[int], player: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what the other players may draw: profiles `[K, P]`, and their probabilities `[K]`, all above 0.

    The player's own column of the profiles is 0.

    Raises:
      ValueError: the meta-strategy does not match the sizes.
    """
    probabilities = others_probabilities(meta_strategy, sizes, player)
    profiles = np.argwhere(probabilities > 0.0)
    return profiles, probabilities[tuple(profiles.T)]


def joint_of_cells(cells: np.ndarray) -> JointStrategy:
    """Returns the joint distribution of probabilities `[n_1, .., n_P]`, without profiles of probability 0."""
    profiles = np.argwhere(cells > 0.0)
    return JointStrategy(profiles, cells[tuple(profiles.T)])


def marginals_of(joint: JointStrategy, sizes: Sequence[int]) -> ProductStrategy:
    """Returns the players' marginals of a joint distribution: how they play if each draws for itself."""
    return ProductStrategy(tuple(marginal_of(joint, player, size) for player, size in enumerate(sizes)))


def as_product(joint: JointStrategy, sizes: Sequence[int]) -> ProductStrategy | None:
    """Returns the marginals of a joint distribution if the players draw independently in it, else None."""
    marginals = marginals_of(joint, sizes)
    difference = cell_probabilities(joint, sizes) - cell_probabilities(marginals, sizes)
    return marginals if np.abs(difference).max() <= _INDEPENDENT else None


def recommended(joint: JointStrategy, player: int, policy: int) -> JointStrategy | None:
    """Returns the joint distribution, given that a policy is recommended to a player.

    It is None if the policy is never recommended.
    """
    told = (joint.profiles[:, player] == policy) & (joint.probabilities > 0.0)
    if not told.any():
        return None
    probabilities = joint.probabilities[told]
    return JointStrategy(joint.profiles[told], probabilities / probabilities.sum())


def recommendations(joint: JointStrategy, player: int) -> Iterator[tuple[int, float, JointStrategy]]:
    """Yields each policy that may be recommended to a player, its probability, and `recommended` for it."""
    for policy in np.unique(joint.profiles[joint.probabilities > 0.0, player]).tolist():
        told = recommended(joint, player, policy)
        assert told is not None, "its probability is above 0"
        yield policy, float(joint.probabilities[joint.profiles[:, player] == policy].sum()), told


def recommendation_gains(payoffs: np.ndarray, meta_strategy: PopulationStrategy) -> np.ndarray:
    """Returns `[P]`, >= 0: each player's gain if it swaps every recommended policy for its best reply.

    All zeros exactly when the distribution is a correlated equilibrium of the meta-game (Aumann 1974). It is
    at least the gain of a single policy against all recommendations, see `payoffs.meta_regret`.

    Args:
      payoffs: `[P, n_1, .., n_P]`.
      meta_strategy: over populations of these sizes.

    Raises:
      ValueError: the meta-strategy does not match the payoffs.
    """
    cells = cell_probabilities(meta_strategy, payoffs.shape[1:])
    gains = np.zeros(len(payoffs))
    for player, table in enumerate(payoffs):
        # Rows: recommended policies; columns: policies that are played instead.
        told = np.moveaxis(cells, player, 0).reshape(cells.shape[player], -1)
        earned = told @ np.moveaxis(table, player, 0).reshape(table.shape[player], -1).T
        gains[player] = np.maximum(earned.max(axis=1) - np.diag(earned), 0.0).sum()
    return gains


def _outer(marginals: Sequence[np.ndarray]) -> np.ndarray:
    product = np.ones(())
    for marginal in marginals:
        product = np.multiply.outer(product, marginal)
    return product

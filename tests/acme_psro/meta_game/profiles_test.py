"""Probabilities of profiles, recommendations, and gains of players who do not follow them."""

import numpy as np
import pytest

from acme_psro.meta_game.payoffs import deviation_payoffs, meta_regret, value
from acme_psro.meta_game.profiles import (
    cell_probabilities,
    joint_of_cells,
    others_probabilities,
    recommendation_gains,
    recommended,
)
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy

CHICKEN = np.array([[[0.0, 7.0], [2.0, 6.0]], [[0.0, 2.0], [7.0, 6.0]]])
# One of the two crashes never; a traffic light tells who goes.
LIGHT = JointStrategy(np.array([[0, 1], [1, 0]]), np.array([0.5, 0.5]))


def _random(sizes: tuple[int, ...], seed: int) -> tuple[np.ndarray, ProductStrategy, JointStrategy]:
    rng = np.random.default_rng(seed)
    product = ProductStrategy(tuple(rng.dirichlet(np.ones(size)) for size in sizes))
    cells = rng.dirichlet(np.ones(int(np.prod(sizes)))).reshape(sizes)
    return rng.standard_normal((len(sizes), *sizes)), product, joint_of_cells(cells)


@pytest.mark.parametrize("sizes", [(4,), (3, 5), (2, 3, 4)])
def test_a_product_written_as_a_joint_distribution_has_the_same_values(sizes: tuple[int, ...]) -> None:
    payoffs, product, _ = _random(sizes, seed=len(sizes))
    joint = joint_of_cells(cell_probabilities(product, sizes))
    np.testing.assert_allclose(value(payoffs, joint), value(payoffs, product), atol=1e-14)
    np.testing.assert_allclose(meta_regret(payoffs, joint), meta_regret(payoffs, product), atol=1e-14)
    for player in range(len(sizes)):
        np.testing.assert_allclose(
            deviation_payoffs(payoffs, joint, player), deviation_payoffs(payoffs, product, player), atol=1e-14
        )
        np.testing.assert_allclose(
            others_probabilities(joint, sizes, player),
            others_probabilities(product, sizes, player),
            atol=1e-15,
        )


def test_the_marginals_of_a_traffic_light_are_no_equilibrium() -> None:
    """The light itself is a correlated equilibrium, with 1/2 to lose; its marginals leave 1/4 to gain."""
    assert value(CHICKEN, LIGHT).tolist() == [4.5, 4.5]
    assert deviation_payoffs(CHICKEN, LIGHT, 0).tolist() == [3.5, 4.0]
    assert meta_regret(CHICKEN, LIGHT).tolist() == [0.0, 0.0]
    assert recommendation_gains(CHICKEN, LIGHT).tolist() == [0.0, 0.0]
    marginals = ProductStrategy((np.array([0.5, 0.5]), np.array([0.5, 0.5])))
    assert meta_regret(CHICKEN, marginals).tolist() == [0.25, 0.25]


@pytest.mark.parametrize("sizes", [(3, 5), (2, 3, 4)])
def test_gains_by_recommendation_equal_a_plain_sum(sizes: tuple[int, ...]) -> None:
    payoffs, _, joint = _random(sizes, seed=7)
    expected = []
    for player in range(len(sizes)):
        total = 0.0
        for policy in range(sizes[player]):
            told = recommended(joint, player, policy)
            assert told is not None
            weight = joint.probabilities[joint.profiles[:, player] == policy].sum()
            total += weight * max(
                deviation_payoffs(payoffs, told, player).max() - value(payoffs, told)[player], 0.0
            )
        expected.append(total)
    gains = recommendation_gains(payoffs, joint)
    np.testing.assert_allclose(gains, expected, atol=1e-14)
    # Whoever may answer every recommendation gains at least what one policy against all of them gains.
    assert (gains >= meta_regret(payoffs, joint) - 1e-14).all()


def test_a_policy_that_is_never_recommended_has_no_distribution() -> None:
    joint = JointStrategy(np.array([[0, 1], [1, 0]]), np.array([1.0, 0.0]))
    assert recommended(joint, 0, 1) is None
    told = recommended(LIGHT, 0, 1)
    assert told is not None and told.profiles.tolist() == [[1, 0]] and told.probabilities.tolist() == [1.0]


@pytest.mark.parametrize(
    "other", [JointStrategy(np.array([[2, 0]]), np.ones(1)), JointStrategy(np.array([[0]]), np.ones(1))]
)
def test_a_distribution_over_other_populations_is_refused(other: JointStrategy) -> None:
    for function in (value, meta_regret, recommendation_gains):
        with pytest.raises(ValueError, match="solve this payoff tensor again"):
            function(CHICKEN, other)

"""Values, deviations and regret inside the meta-game."""

import numpy as np
import pytest

from acme_psro.meta_game import payoffs as ms
from acme_psro.policies import meta_strategy

# Prisoners' dilemma: policy 0 co-operates, policy 1 defects.
DILEMMA = np.array([[[3.0, 0.0], [5.0, 1.0]], [[3.0, 5.0], [0.0, 1.0]]])


def _random_game(sizes: tuple[int, ...], seed: int) -> tuple[np.ndarray, meta_strategy.ProductStrategy]:
    rng = np.random.default_rng(seed)
    payoffs = rng.standard_normal((len(sizes), *sizes))
    return payoffs, meta_strategy.ProductStrategy(tuple(rng.dirichlet(np.ones(size)) for size in sizes))


def test_pure_profile_of_the_dilemma() -> None:
    cooperate_defect = meta_strategy.ProductStrategy((np.array([1.0, 0.0]), np.array([0.0, 1.0])))
    np.testing.assert_array_equal(ms.value(DILEMMA, cooperate_defect), [0.0, 5.0])
    np.testing.assert_array_equal(ms.deviation_payoffs(DILEMMA, cooperate_defect, 0), [0.0, 1.0])
    np.testing.assert_array_equal(ms.deviation_payoffs(DILEMMA, cooperate_defect, 1), [3.0, 5.0])
    np.testing.assert_array_equal(ms.meta_regret(DILEMMA, cooperate_defect), [1.0, 0.0])


def test_defection_has_no_regret() -> None:
    defect = np.array([0.0, 1.0])
    np.testing.assert_array_equal(
        ms.meta_regret(DILEMMA, meta_strategy.ProductStrategy((defect, defect))), [0.0, 0.0]
    )


@pytest.mark.parametrize("sizes", [(4,), (3, 5), (2, 3, 4), (2, 1, 3, 2)])
def test_equals_the_sum_over_profiles(sizes: tuple[int, ...]) -> None:
    payoffs, mixed = _random_game(sizes, seed=len(sizes))
    values = np.zeros(len(sizes))
    deviations = [np.zeros(size) for size in sizes]
    for profile in np.ndindex(*sizes):
        probabilities = [mixed.marginals[p][i] for p, i in enumerate(profile)]
        for player, policy in enumerate(profile):
            payoff = payoffs[player][profile]
            values[player] += payoff * np.prod(probabilities)
            others = np.prod(probabilities[:player] + probabilities[player + 1 :])
            deviations[player][policy] += payoff * others
    np.testing.assert_allclose(ms.value(payoffs, mixed), values, atol=1e-14)
    for player, expected in enumerate(deviations):
        np.testing.assert_allclose(ms.deviation_payoffs(payoffs, mixed, player), expected, atol=1e-14)
    best = np.array([deviation.max() for deviation in deviations])
    np.testing.assert_allclose(ms.meta_regret(payoffs, mixed), best - values, atol=1e-14)


def test_marginals_of_another_size_are_refused() -> None:
    payoffs, _ = _random_game((3, 5), seed=0)
    _, other = _random_game((3, 4), seed=0)
    with pytest.raises(ValueError, match=r"lengths \(3, 4\).*sizes \(3, 5\)"):
        ms.value(payoffs, other)


def test_unit_payoffs_span_zero_to_one_per_player() -> None:
    payoffs, _ = _random_game((3, 4), seed=1)
    payoffs[1] = payoffs[1] * 1e9 - 7.0
    unit = ms.unit_payoffs(payoffs)
    np.testing.assert_array_equal(unit.min(axis=(1, 2)), [0.0, 0.0])
    np.testing.assert_array_equal(unit.max(axis=(1, 2)), [1.0, 1.0])
    for player in range(2):
        order = np.argsort(payoffs[player], axis=None)
        np.testing.assert_array_equal(np.argsort(unit[player], axis=None), order)


def test_unit_payoffs_of_constants_are_zero() -> None:
    np.testing.assert_array_equal(ms.unit_payoffs(np.full((2, 2, 3), -4.0)), np.zeros((2, 2, 3)))


def test_check_payoffs_takes_integers_as_float64() -> None:
    checked = ms.check_payoffs(np.array([[[1, 2]], [[-1, -2]]]))
    assert checked.dtype == np.float64
    assert checked.shape == (2, 1, 2)


@pytest.mark.parametrize(
    ("payoffs", "message"),
    [
        (np.zeros(3), "shape"),
        (np.zeros((3, 3)), "shape"),
        (np.zeros((2, 3)), "shape"),
        (np.zeros((2, 3, 3, 3)), "shape"),
        (np.zeros((2, 3, 0)), "player 1 has an empty population"),
        (np.array([[[np.nan, 1.0]], [[0.0, np.inf]]]), "2 of 4 payoffs"),
        (np.array([[[1e305]], [[0.0]]]), "1 of 2 payoffs"),
    ],
)
def test_malformed_payoffs_are_refused(payoffs: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ms.check_payoffs(payoffs)

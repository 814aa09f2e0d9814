"""Tests of draws: how often policies come, by marginals and by joint distributions, and what is refused."""

import json

import jax
import numpy as np
import pytest

from acme_psro.policies.meta_strategy import (
    JointStrategy,
    MetaStrategy,
    MixtureError,
    ProductStrategy,
    check_meta_strategy,
    drawn_policies,
    make_draw,
    meta_strategy_from_json,
    meta_strategy_to_json,
    spread_draws,
)

MARGINALS = (np.array([0.2, 0.0, 0.8]), np.array([1.0]), np.array([0.0, 0.5, 0.5, 0.0]))
PRODUCT = ProductStrategy(MARGINALS)
JOINT = JointStrategy(np.array([[0, 0, 1], [2, 0, 2], [1, 0, 1]]), np.array([0.25, 0.75, 0.0]))
DRAWS = 40_000


def draws(weights: MetaStrategy, seed: int = 0, number: int = DRAWS) -> np.ndarray:
    return make_draw(weights)(np.random.default_rng(seed), number)


def test_marginals_are_drawn_as_often_as_they_say_and_independently() -> None:
    drawn = draws(PRODUCT)
    assert drawn.shape == (DRAWS, 3)
    assert np.issubdtype(drawn.dtype, np.integer)
    for player, marginal in enumerate(MARGINALS):
        shares = np.bincount(drawn[:, player], minlength=len(marginal)) / DRAWS
        # Five standard errors; what has no weight never comes.
        assert (np.abs(shares - marginal) <= 5 * np.sqrt(marginal * (1 - marginal) / DRAWS)).all()
    both = np.mean((drawn[:, 0] == 0) & (drawn[:, 2] == 1))
    assert abs(both - 0.1) < 5 * np.sqrt(0.1 * 0.9 / DRAWS)


def test_profiles_are_drawn_whole() -> None:
    drawn = draws(JOINT)
    profiles, counts = np.unique(drawn, axis=0, return_counts=True)
    assert profiles.tolist() == [[0, 0, 1], [2, 0, 2]]
    assert abs(counts[0] / DRAWS - 0.25) < 5 * np.sqrt(0.25 * 0.75 / DRAWS)


@pytest.mark.parametrize("weights", [PRODUCT, JOINT], ids=["marginals", "joint"])
def test_equal_seeds_give_equal_draws(weights: MetaStrategy) -> None:
    np.testing.assert_array_equal(draws(weights), draws(weights))
    assert (draws(weights) != draws(weights, seed=1)).any()
    assert draws(weights, number=0).shape == (0, 3)


class Largest(np.random.Generator):
    """Draws the largest numbers that there are."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def random(self, size=None, dtype=np.float64, out=None):  # type: ignore[no-untyped-def]
        return np.full(size, np.nextafter(1.0, 0.0))


def test_rounding_never_leads_past_the_last_policy_with_weight() -> None:
    tenths = np.full(10, 0.1)
    weights = ProductStrategy((np.append(tenths, 0.0), np.array([0.5, 0.5 - 9e-7, 0.0])))
    drawn = make_draw(weights)(Largest(), 2)
    assert drawn.tolist() == [[9, 1], [9, 1]]


def test_a_player_without_policies_is_drawn_nothing_for() -> None:
    weights = check_meta_strategy(ProductStrategy((np.array([]), np.array([0.5, 0.5]))), [0, 2])
    assert set(draws(weights)[:, 0]) == {0}
    assert drawn_policies(weights, [(), ("a", "b")]) == [(1, 0), (1, 1)]
    joint = check_meta_strategy(JointStrategy(np.array([[7, 1]]), np.array([1.0])), [0, 2])
    assert draws(joint)[0].tolist() == [7, 1]
    assert drawn_policies(joint, [(), ("a", "b")]) == [(1, 1)]


def test_policies_without_weight_are_never_drawn() -> None:
    populations = [("a", "b", "c"), ("a",), ("a", "b", "c", "d")]
    assert drawn_policies(PRODUCT, populations) == [(0, 0), (0, 2), (1, 0), (2, 1), (2, 2)]
    assert drawn_policies(JOINT, populations) == [(0, 0), (0, 2), (1, 0), (2, 1), (2, 2)]


@pytest.mark.parametrize("weights", [PRODUCT, JOINT], ids=["marginals", "joint"])
def test_weights_survive_json_bit_for_bit(weights: MetaStrategy) -> None:
    again = meta_strategy_from_json(json.loads(json.dumps(meta_strategy_to_json(weights))))
    assert type(again) is type(weights)
    assert jax.tree.all(jax.tree.map(lambda one, other: one.tobytes() == other.tobytes(), again, weights))


ONE = np.array([1.0])


@pytest.mark.parametrize(
    ("weights", "sizes", "message"),
    [
        (ProductStrategy((ONE,)), [1, 1], "1 marginals for 2 players"),
        (ProductStrategy((ONE, ONE)), [1, 2], r"marginal of player 1 has shape \(1,\), for 2 policies"),
        (ProductStrategy((ONE, np.array([0.5, 0.4]))), [1, 2], "marginal of player 1 sums to 0.9, not to 1"),
        (
            ProductStrategy((ONE, np.array([1.5, -0.5]))),
            [1, 2],
            "the marginal of player 1 has weights that are negative",
        ),
        (ProductStrategy((ONE, np.array([np.nan, 1.0]))), [1, 2], "negative or NaN"),
        (
            ProductStrategy((np.array([]), np.array([]))),
            [0, 0],
            "only the player who responds may be without policies",
        ),
        (
            JointStrategy(np.array([[0, 0]]), np.array([0.5])),
            [1, 1],
            "joint distribution sums to 0.5, not to 1",
        ),
        (JointStrategy(np.array([[0, 2]]), ONE), [1, 2], "a policy of player 1 beyond its 2"),
        (JointStrategy(np.array([[0, -1]]), ONE), [1, 2], "a policy of player 1 beyond its 2"),
        (JointStrategy(np.array([[0.0, 1.0]]), ONE), [1, 2], "whole numbers of shape"),
        (
            JointStrategy(np.array([[0], [0]]), np.array([0.5, 0.5])),
            [1, 2],
            r"shape \(2, 2\), .*, not int64 of shape \(2, 1\)",
        ),
    ],
)
def test_weights_that_are_none_are_refused_in_one_line(
    weights: MetaStrategy, sizes: list[int], message: str
) -> None:
    with pytest.raises(MixtureError, match=rf"^[^\n]*{message}[^\n]*$"):
        check_meta_strategy(weights, sizes)


def test_spread_policies_come_as_often_as_they_weigh_in_any_order() -> None:
    marginal = np.array([0.0, 0.25, 0.333, 0.417, 0.0])
    drawn = spread_draws(marginal, np.random.default_rng(3), 1000)
    assert (np.abs(np.bincount(drawn, minlength=5) - 1000 * marginal) < 1).all()
    assert (np.diff(drawn) < 0).sum() > 200
    again, other = (spread_draws(marginal, np.random.default_rng(s), 1000) for s in (3, 4))
    assert (drawn == again).all() and (drawn != other).any()
    # Never one that weighs nothing, whatever rounding does.
    assert spread_draws(np.array([1.0, 0.0]), np.random.default_rng(0), 3).tolist() == [0, 0, 0]

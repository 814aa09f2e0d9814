"""Lemke-Howson paths: their ends, by floating point and in whole numbers, and limits."""

import numpy as np
import pytest

from acme_psro.meta_game.payoffs import meta_regret, unit_payoffs
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.solvers import lemke_howson

# Three equilibria: two pure ones, and (2/3, 1/3) against (1/3, 2/3).
COORDINATION = unit_payoffs(np.array([[[2.0, 0], [0, 1]], [[1.0, 0], [0, 2]]]))


def test_ends_of_all_paths_by_hand() -> None:
    ends = [lemke_howson.follow(COORDINATION, label, 100).strategies for label in range(4)]
    # A path that drops the label of a policy begins with that policy; its best reply is the same one.
    for end, policy in zip(ends, [0, 1, 0, 1], strict=True):
        assert end is not None
        np.testing.assert_array_equal(end, [np.eye(2)[policy]] * 2)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_every_path_of_a_degenerate_game_ends_in_an_equilibrium(seed: int, exact: bool) -> None:
    unit = unit_payoffs(np.random.default_rng(seed).integers(0, 3, (2, 4, 5)).astype(float))
    for label in range(9):
        path = lemke_howson.follow(unit, label, 200, exact)
        assert path.strategies is not None
        assert meta_regret(unit, ProductStrategy(path.strategies)).max() <= 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_whole_numbers_follow_the_same_path(seed: int) -> None:
    unit = unit_payoffs(np.random.default_rng(seed).standard_normal((2, 8, 7)))
    rough, exact = (lemke_howson.follow(unit, 3, 500, is_exact) for is_exact in (False, True))
    assert rough.pivots == exact.pivots
    assert rough.strategies is not None and exact.strategies is not None
    for one, other in zip(rough.strategies, exact.strategies, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_a_path_that_is_too_long_has_no_end() -> None:
    unit = unit_payoffs(np.random.default_rng(0).standard_normal((2, 8, 8)))
    length = lemke_howson.follow(unit, 0, 500).pivots
    assert lemke_howson.follow(unit, 0, length - 1) == lemke_howson.Path(None, length - 1)

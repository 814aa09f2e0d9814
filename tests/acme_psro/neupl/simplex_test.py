"""Exploitation of mixtures: exact responses have no gap, and mixtures are drawn evenly."""

from typing import Any

import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.neupl import simplex
from acme_psro.neupl.members import make_populations
from acme_psro.policies.tabular import mixture_plan


def test_mixtures_are_drawn_evenly() -> None:
    mixtures = simplex.draw_mixtures(np.random.default_rng(0), 20_000, 3)
    np.testing.assert_allclose(mixtures.sum(axis=1), 1.0, atol=1e-6)
    # A coordinate of an even distribution on the triangle is above x with probability (1 - x)^2.
    for least in (0.2, 0.5, 0.8):
        assert (mixtures[:, 0] > least).mean() == pytest.approx((1 - least) ** 2, abs=0.015)


@pytest.mark.games("kuhn", "leduc")
def test_exact_responses_have_no_gap_and_uniform_policies_gain_what_is_missing(case: Any) -> None:
    tree, rng = case.tree, np.random.default_rng(1)
    drawn = rng.random((3, *tree.legal_actions.shape)) * tree.legal_actions
    populations = make_populations(tree, drawn)
    mixtures = simplex.draw_mixtures(rng, 4, 3)
    exact, gains = np.zeros((4, *tree.legal_actions.shape)), np.zeros((2, 4))
    for index, mixture in enumerate(mixtures.astype(np.float64)):
        plan = mixture_plan(tree, populations, [mixture / mixture.sum()] * 2)
        for player in range(2):
            best = traverse.best_response(tree, plan, player)
            exact[index, tree.infosets_of(player)] = best.table[tree.infosets_of(player)]
            gains[player, index] = best.value - traverse.expected_returns(tree, plan)[player]
    found = simplex.exploit(tree, populations, mixtures, exact)
    np.testing.assert_allclose(found.gap, 0.0, atol=1e-9)
    np.testing.assert_allclose(found.gain, gains, atol=1e-9)
    assert found.relative_gap == pytest.approx(0.0, abs=1e-9)
    uniform = np.tile(tree.uniform_policy(), (4, 1, 1))
    assert simplex.exploit(tree, populations, mixtures, uniform).relative_gap > 0.1

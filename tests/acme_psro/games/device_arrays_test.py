"""Tests of the alias tables by which chance events are sampled on the device."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from acme_psro.games.device_arrays import alias_tables
from acme_psro.games.tree import CHANCE, GameTree


def implied_probabilities(tree: GameTree) -> np.ndarray:
    """Returns `[N]`: the probability with which the alias tables sample each child of a chance node."""
    threshold, alias = alias_tables(tree)
    drawn = np.zeros(tree.num_nodes)
    for child in np.flatnonzero(tree.player[tree.parent] == CHANCE):
        if child == 0:
            continue
        parent = tree.parent[child]
        share = 1.0 / tree.num_children[parent]
        drawn[child] += share * threshold[child]
        drawn[tree.first_child[parent] + alias[child]] += share * (1.0 - threshold[child])
    return drawn


def test_alias_tables_hold_the_chance_probabilities(case: Any) -> None:
    tree = case.tree
    by_chance = tree.player[tree.parent] == CHANCE
    by_chance[0] = False
    np.testing.assert_allclose(
        implied_probabilities(tree)[by_chance], tree.probability[by_chance], atol=1e-12, rtol=1e-9
    )


@pytest.mark.games("kuhn_4p")
@pytest.mark.parametrize("concentration", [0.01, 0.3, 10.0])
def test_alias_tables_hold_skewed_probabilities(case: Any, concentration: float) -> None:
    """Probabilities over many orders of magnitude, zero among them."""
    rng = np.random.default_rng(0)
    probability = case.tree.probability.copy()
    for node in np.flatnonzero(case.tree.player == CHANCE):
        first, count = case.tree.first_child[node], case.tree.num_children[node]
        drawn = rng.dirichlet(np.full(count, concentration))
        if count > 2:
            drawn[1] = 0.0
        probability[first : first + count] = drawn / drawn.sum()
    skewed = dataclasses.replace(case.tree, probability=probability)
    by_chance = np.flatnonzero(case.tree.player[case.tree.parent] == CHANCE)[1:]
    implied = implied_probabilities(skewed)[by_chance]
    np.testing.assert_allclose(implied, probability[by_chance], atol=1e-12)
    np.testing.assert_array_equal(implied[probability[by_chance] == 0.0], 0.0)

"""Rectified PSRO: niches by hand, and what it finds in Kuhn poker."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.policies.meta_strategy import ProductStrategy, require_product
from acme_psro.policies.tabular import make_policy
from acme_psro.psro import loop, rectified
from acme_psro.solvers import get_solver


@pytest.mark.parametrize(
    ("advantage", "weights", "expected"),
    [
        ([1.0, -1.0, 0.0], [0.2, 0.3, 0.5], [1.0, 0.0, 0.0]),
        ([2.0, 1.0, -5.0], [0.25, 0.5, 0.25], [0.5, 0.5, 0.0]),
        # Nobody is beaten: the niche is everybody.
        ([-1.0, 0.0], [0.4, 0.6], [0.4, 0.6]),
        # A policy without weight stays without, however clearly it is beaten.
        ([9.0, 1.0], [0.0, 1.0], [0.0, 1.0]),
    ],
)
def test_niches_by_hand(advantage: list[float], weights: list[float], expected: list[float]) -> None:
    found = rectified.rectified(np.array(advantage), np.array(weights))
    np.testing.assert_allclose(found, expected)


def test_in_rock_paper_scissors_each_policy_answers_to_the_one_that_it_beats(
    compiled: Callable[[str], GameTree],
) -> None:
    tree = compiled("matrix_rps")
    # OpenSpiel's actions are rock, paper and scissors; each is beaten by the next one.
    pure = tuple(tuple(make_policy(tree, player, np.eye(3)[[k]]) for k in range(3)) for player in range(2))
    meta_game = ExactMetaGame(tree)
    psro = rectified.make_loop(meta_game, get_solver("nash"))
    payoffs = meta_game.extend(pure, None)
    even = ProductStrategy((np.full(3, 1 / 3), np.full(3, 1 / 3)))
    tasks = psro.tasks(loop.PSROState(pure, payoffs, even))
    assert [task.player for task in tasks] == [0, 0, 0, 1, 1, 1]
    for player in range(2):
        for policy, task in enumerate(tasks[3 * player : 3 * player + 3]):
            marginals = require_product(task.meta_strategy).marginals
            assert marginals[player].tolist() == np.eye(3)[policy].tolist()
            np.testing.assert_allclose(marginals[1 - player], np.eye(3)[(policy - 1) % 3], atol=1e-12)
            assert task.weight == pytest.approx(1 / 3)

"""A mixture as one policy, by play: the same as the exact one wherever that is known."""

from typing import Any

import numpy as np
import pytest

from acme_psro.policies import decoders
from acme_psro.policies.as_openspiel import MixturePolicy, table_policy
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.tabular import make_policy, mixture_table


@pytest.mark.games("kuhn", "kuhn_3p", "goofspiel", "auction", "leduc")
def test_it_plays_as_the_exact_mixture(case: Any, random_table: Any, pure_table: Any) -> None:
    """Pure policies among them, which never come to some states."""
    tree = case.tree
    tables = [
        [table(tree, 5 * player + k)[tree.infosets_of(player)] for k, table in enumerate(kinds)]
        for player, kinds in enumerate([[pure_table, random_table, pure_table]] * tree.num_players)
    ]
    populations = [
        tuple(make_policy(tree, player, table) for table in own) for player, own in enumerate(tables)
    ]
    rng = np.random.default_rng(0)
    strategy = ProductStrategy(tuple(np.append(rng.dirichlet([1, 1]), 0.0) for _ in populations))
    expected = table_policy(tree, mixture_table(tree, populations, strategy))
    policies = [
        [decoders.decode_table(decoders.from_tree_policy(tree, player, policy)) for policy in own]
        for player, own in enumerate(populations)
    ]
    found = MixturePolicy(case.game, policies, strategy.marginals)
    nodes = np.flatnonzero(tree.player >= 0)
    for node in rng.choice(nodes, min(len(nodes), 150), replace=False):
        state = case.state_of(int(node))
        assert found.action_probabilities(state) == pytest.approx(
            expected.action_probabilities(state), abs=1e-9
        )


@pytest.mark.games("kuhn")
def test_where_nobody_comes_all_is_alike_and_those_without_weight_are_not_asked(case: Any) -> None:
    def bets(states: Any, player: int) -> np.ndarray:
        return np.tile([0.0, 1.0], (len(states), 1))

    def never(states: Any, player: int) -> np.ndarray:
        raise AssertionError("asked")

    policy = MixturePolicy(case.game, [[never, bets]] * 2, [np.array([0.0, 1.0])] * 2)
    state = case.game.new_initial_state()
    for action in (0, 1):
        state.apply_action(action)
    assert policy.action_probabilities(state) == {0: 0.0, 1: 1.0}
    # Player 0 passes, which it never would, and player 1 bets.
    state.apply_action(0)
    assert policy.action_probabilities(state) == {0: 0.0, 1: 1.0}
    state.apply_action(1)
    assert policy.action_probabilities(state) == policy.action_probabilities(state, 0) == {0: 0.5, 1: 0.5}

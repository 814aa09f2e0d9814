"""Joint distributions on compiled games: deviations, gaps, and the others' coordinated play."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyspiel
import pytest
from open_spiel.python import policy as openspiel_policy

from acme_psro.evaluation import correlated, deviations
from acme_psro.evaluation.coordinated import coordinated_play, others_reach
from acme_psro.evaluation.correlated import gaps
from acme_psro.evaluation.exact import evaluate_mixture
from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.meta_game.payoffs import deviation_payoffs, value
from acme_psro.meta_game.profiles import (
    cell_probabilities,
    joint_of_cells,
    recommendation_gains,
    recommendations,
)
from acme_psro.policies.as_openspiel import table_policy
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from acme_psro.policies.tabular import Population, make_policy

THREE, BOS = "kuhn_poker(players=3)", "matrix_bos"


def _populations(tree: GameTree, size: int, seed: int) -> tuple[Population, ...]:
    """Random populations, a player's second policy pure."""
    rng = np.random.default_rng(seed)
    populations = []
    for player in range(tree.num_players):
        legal = tree.legal_actions[tree.infosets_of(player)]
        tables = [
            weights / weights.sum(axis=1, keepdims=True)
            for weights in rng.random((size, *legal.shape)) * legal
        ]
        tables[1] = np.eye(tree.num_actions)[np.where(legal, tables[1], -1).argmax(axis=1)]
        populations.append(tuple(make_policy(tree, player, table) for table in tables))
    return tuple(populations)


def _joint(shape: tuple[int, ...], seed: int) -> JointStrategy:
    cells = np.random.default_rng(seed).dirichlet(np.full(int(np.prod(shape)), 0.3)).reshape(shape)
    # Some policies are never recommended.
    cells[0] = 0.0
    return joint_of_cells(cells / cells.sum())


@pytest.fixture(params=["kuhn_poker", THREE, "tiny_bridge_2p"])
def tree(request: pytest.FixtureRequest, compiled: Callable[[str], GameTree]) -> GameTree:
    return compiled(request.param)


def test_deviations_to_members_earn_what_the_payoffs_say(tree: GameTree) -> None:
    populations = _populations(tree, 3, seed=0)
    joint = _joint((3,) * tree.num_players, seed=1)
    payoffs = exact_payoffs(tree, populations, None)
    for player in range(tree.num_players):
        deviation = deviations.from_meta_strategy(tree, populations, joint, player)
        earned = np.array(deviations.gains(tree, deviation, populations[player])) + deviation.value
        np.testing.assert_allclose(earned, deviation_payoffs(payoffs, joint, player), atol=1e-12)
        assert deviation.value == pytest.approx(value(payoffs, joint)[player], abs=1e-12)


def test_gaps_equal_openspiels(tree: GameTree) -> None:
    populations = _populations(tree, 2, seed=2)
    joint = _joint((2,) * tree.num_players, seed=3)
    game = pyspiel.load_game(tree.game_string)
    mixed = []
    for profile, weight in zip(joint.profiles, joint.probabilities, strict=True):
        table = np.concatenate([own[k].table for own, k in zip(populations, profile, strict=True)])
        python = table_policy(tree, table)
        tabular = openspiel_policy.tabular_policy_from_callable(game, python.action_probabilities)
        mixed.append((float(weight), openspiel_policy.python_policy_to_pyspiel_policy(tabular)))
    found = gaps(tree, populations, joint)
    for player in range(tree.num_players):
        theirs = pyspiel.cce_dist(game, mixed, player, 0.0, -1.0)
        assert found.cce_gains[player] == pytest.approx(
            theirs.best_response_values[0] - found.expected_returns[player], abs=1e-9
        )
    # A recommendation is information: it never lowers what there is to gain.
    assert (found.ce_gains >= found.cce_gains - 1e-12).all()
    in_populations = recommendation_gains(exact_payoffs(tree, populations, None), joint)
    assert (found.ce_gains >= in_populations - 1e-12).all()


def test_gaps_of_recommendations_are_those_of_each_alone(
    tree: GameTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are found together, in parts where memory is short, with payoffs at hand or without."""
    populations = _populations(tree, 3, seed=7)
    joint = _joint((3,) * tree.num_players, seed=8)
    payoffs = exact_payoffs(tree, populations, None)
    for player in range(tree.num_players):
        expected = []
        for policy, weight, told in recommendations(joint, player):
            deviation = deviations.from_meta_strategy(tree, populations, told, player)
            expected.append((policy, weight, weight * deviations.best_gain(tree, deviation)))
        for known, numbers in ((None, 1), (payoffs, 10**7)):
            monkeypatch.setattr(correlated, "_MOST_NUMBERS", numbers)
            found = correlated.recommendation_gaps(tree, populations, joint, player, known)
            np.testing.assert_allclose(np.array(found), expected, atol=1e-12)


def test_a_product_has_the_gains_of_its_mixture(tree: GameTree) -> None:
    populations = _populations(tree, 2, seed=4)
    product = ProductStrategy(tuple(np.array([0.25, 0.75]) for _ in populations))
    joint = joint_of_cells(cell_probabilities(product, [2] * tree.num_players))
    found, expected = gaps(tree, populations, joint), evaluate_mixture(tree, populations, product)
    np.testing.assert_allclose(found.cce_gains, expected.per_player_gain, atol=1e-12)
    np.testing.assert_allclose(found.expected_returns, expected.expected_returns, atol=1e-12)


def test_coordinated_play_reaches_every_node_as_often_as_the_joint_draw(tree: GameTree) -> None:
    """Along every path the coordinator's probabilities multiply up to the mixture's."""
    populations = _populations(tree, 3, seed=5)
    joint = _joint((3,) * tree.num_players, seed=6)
    for player in range(tree.num_players):
        table = coordinated_play(tree, populations, joint, player)
        arrived = np.ones(tree.num_nodes)
        for node in range(1, tree.num_nodes):
            parent = tree.parent[node]
            arrived[node] = arrived[parent]
            if tree.player[parent] >= 0 and tree.player[parent] != player:
                action = tree.action_of_slot[tree.infoset[parent], tree.slot[node]]
                arrived[node] *= table[parent, action]
        reached = others_reach(tree, populations, joint, player, np.arange(tree.num_nodes))
        np.testing.assert_allclose(arrived, reached, atol=1e-12)
        decided = tree.player >= 0
        np.testing.assert_allclose(table[decided].sum(axis=1), 1.0, atol=1e-12)
        assert not table[~decided].any()
        assert not table[decided][~tree.legal_actions[tree.infoset[decided]]].any()


def test_correlated_opponents_are_no_product_of_policies(compiled: Callable[[str], GameTree]) -> None:
    """Two opponents who draw the same policy together let a third gain other than their marginals do."""
    tree = compiled(THREE)
    populations = _populations(tree, 2, seed=7)
    together = JointStrategy(np.array([[0, 0, 0], [0, 1, 1]]), np.array([0.5, 0.5]))
    apart = ProductStrategy((np.array([1.0, 0.0]), np.full(2, 0.5), np.full(2, 0.5)))
    joint, product = (
        deviations.from_meta_strategy(tree, populations, strategy, 0) for strategy in (together, apart)
    )
    assert abs(deviations.best_gain(tree, joint) - deviations.best_gain(tree, product)) > 1e-3
    # Both hold the same policies: averaged over draws, each alternative's value is a mean over profiles.
    for policy in populations[0]:
        mean = np.mean(
            [
                traverse.expected_returns(
                    tree,
                    traverse.realisation_plan(
                        tree, np.concatenate([policy.table, populations[1][k].table, populations[2][k].table])
                    ),
                )[0]
                for k in range(2)
            ]
        )
        (gain,) = deviations.gains(tree, joint, [policy])
        assert gain + joint.value == pytest.approx(mean, abs=1e-12)


def test_a_traffic_light_leaves_nothing_to_gain_in_battle_of_the_sexes(
    compiled: Callable[[str], GameTree],
) -> None:
    tree = compiled(BOS)
    pure = tuple(
        tuple(make_policy(tree, player, np.eye(2)[[action]]) for action in range(2)) for player in range(2)
    )
    light = JointStrategy(np.array([[0, 0], [1, 1]]), np.array([0.5, 0.5]))
    found = gaps(tree, pure, light)
    assert found.cce_gains.tolist() == [0.0, 0.0] and found.ce_gains.tolist() == [0.0, 0.0]
    assert found.expected_returns.tolist() == [2.5, 2.5]
    independent = evaluate_mixture(tree, pure, ProductStrategy((np.full(2, 0.5), np.full(2, 0.5))))
    assert independent.per_player_gain.min() > 0.1

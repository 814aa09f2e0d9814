"""Tests of stored policies as tables: as they play state by state, and mixtures of them by reach."""

import pathlib
from typing import Any

import jax
import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.games.identity import name_game
from acme_psro.games.tree import GameTree
from acme_psro.policies import decoders, mixture_files, networks
from acme_psro.policies.as_table import make_table, mixture_table
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from acme_psro.policies.mixtures import Mixture
from acme_psro.policies.stored import StoredPolicy, StoredPolicyError
from acme_psro.policies.tabular import Policy, combine, make_policy, mixture_plan
from agents import crossq


def network(game: str, player: int) -> StoredPolicy:
    """With parameters out of the air."""
    about = networks.about_network(name_game(game), player, "crossq", crossq.PRESETS["games"])
    core = networks.make_network(about).core
    rng = np.random.default_rng(0)
    like = jax.eval_shape(lambda key: core.variables(core.init(key)), jax.random.PRNGKey(0))
    # Variances are not negative.
    variables = jax.tree_util.tree_map_with_path(
        lambda path, leaf: (
            np.ones(leaf.shape, leaf.dtype)
            if "variance" in jax.tree_util.keystr(path)
            else rng.normal(0.0, 0.2, leaf.shape).astype(leaf.dtype)
        ),
        like,
    )
    return StoredPolicy(about, networks.to_arrays(variables))


def stored_of(kind: str, tree: GameTree, player: int, random_table: Any) -> StoredPolicy:
    if kind == "network":
        return network(tree.game_string, player)
    if kind == "uniform":
        return decoders.uniform(name_game(tree.game_string), player)
    table = random_table(tree, player)[tree.infosets_of(player)]
    return decoders.from_tree_policy(tree, player, make_policy(tree, player, table))


@pytest.mark.games("kuhn_3p", "leduc")
@pytest.mark.parametrize("kind", ["uniform", "table", "network"])
def test_a_table_says_what_the_policy_plays(kind: str, case: Any, random_table: Any) -> None:
    tree = case.tree
    for player in range(tree.num_players):
        policy = stored_of(kind, tree, player, random_table)
        rows = tree.infosets_of(player)
        nodes = [int(np.argmax(tree.infoset == row)) for row in range(rows.start, rows.stop)]
        play = decoders.decode(policy, decoders.DECODERS)
        table = make_table(tree, policy)
        np.testing.assert_allclose(table, play([case.state_of(node) for node in nodes], player), atol=1e-6)
        make_policy(tree, player, table)


@pytest.mark.games("catch")
def test_games_that_name_no_information_states_have_tables_all_the_same(case: Any, random_table: Any) -> None:
    table = random_table(case.tree, 0)
    policy = decoders.from_tree_policy(case.tree, 0, make_policy(case.tree, 0, table))
    np.testing.assert_array_equal(make_table(case.tree, policy), table)


@pytest.mark.games("kuhn")
def test_what_has_no_table_is_refused_in_one_line(case: Any, compiled: Any, random_table: Any) -> None:
    tree = case.tree
    policy = stored_of("table", tree, 0, random_table)
    with pytest.raises(StoredPolicyError, match=r"plays kuhn_poker\(\), not leduc_poker\(\)"):
        make_table(compiled("leduc_poker"), policy)
    with pytest.raises(
        StoredPolicyError, match="no tables of policies of kind 'oracle'; of uniform, table, network"
    ):
        make_table(tree, policy._replace(about=policy.about | {"kind": "oracle"}))
    arrays = policy.arrays | {"offsets": policy.arrays["offsets"][:-1], "table": policy.arrays["table"][:-1]}
    with pytest.raises(StoredPolicyError, match="the table lacks 1 information states"):
        make_table(tree, policy._replace(arrays=arrays))


def draw(tree: GameTree, random_table: Any, player: int, size: int) -> list[Policy]:
    return [
        make_policy(tree, player, random_table(tree, 10 * player + k)[tree.infosets_of(player)])
        for k in range(size)
    ]


def write(directory: pathlib.Path, tree: GameTree, populations: list[list[Policy]], weights: Any) -> None:
    policies = tuple(
        tuple(decoders.from_tree_policy(tree, player, policy) for policy in own)
        for player, own in enumerate(populations)
    )
    strategy = weights if isinstance(weights, JointStrategy) else ProductStrategy(tuple(weights))
    mixture_files.write(directory, Mixture(tree.game_string, policies, strategy))


@pytest.mark.games("kuhn", "kuhn_3p", "leduc")
def test_a_mixture_by_marginals_is_weighted_by_reach(
    case: Any, random_table: Any, tmp_path: pathlib.Path
) -> None:
    tree, players = case.tree, case.tree.num_players
    populations = [[] if player == 0 else draw(tree, random_table, player, 3) for player in range(players)]
    weights = tuple(np.array([0.5, 0.0, 0.5] if own else []) for own in populations)
    write(tmp_path, tree, populations, weights)
    table = mixture_table(tree, tmp_path, 0)
    assert table is not None
    own = draw(tree, random_table, 0, 1)
    expected = mixture_plan(tree, [tuple(own), *map(tuple, populations[1:])], [np.ones(1), *weights[1:]])
    others = traverse.realisation_plan(tree, table)
    rows = tree.infosets_of(0)
    others[rows.start * tree.num_actions : rows.stop * tree.num_actions] = own[0].plan[:-1]
    np.testing.assert_allclose(
        traverse.expected_returns(tree, others), traverse.expected_returns(tree, expected), atol=1e-12
    )
    assert traverse.best_response(tree, others, 0).value == pytest.approx(
        traverse.best_response(tree, expected, 0).value
    )


@pytest.mark.games("kuhn")
def test_of_a_joint_distribution_over_two_players_the_others_marginal_counts(
    case: Any, random_table: Any, tmp_path: pathlib.Path
) -> None:
    tree = case.tree
    populations = [draw(tree, random_table, player, 2) for player in range(2)]
    joint = JointStrategy(np.array([[0, 0], [1, 0], [0, 1]]), np.array([0.25, 0.5, 0.25]))
    write(tmp_path, tree, populations, joint)
    table = mixture_table(tree, tmp_path, 1)
    assert table is not None
    plan = combine(
        tree, [0.5 * populations[0][0].plan + 0.5 * populations[0][1].plan, populations[1][0].plan]
    )
    rows = tree.infosets_of(0)
    np.testing.assert_allclose(table[rows], traverse.behaviour(tree, plan)[rows], atol=1e-15)


@pytest.mark.games("kuhn_3p")
def test_several_others_who_draw_together_are_like_no_policies_of_each(
    case: Any, random_table: Any, tmp_path: pathlib.Path
) -> None:
    populations = [draw(case.tree, random_table, player, 1) for player in range(3)]
    write(tmp_path, case.tree, populations, JointStrategy(np.array([[0, 0, 0]]), np.ones(1)))
    assert mixture_table(case.tree, tmp_path, 0) is None

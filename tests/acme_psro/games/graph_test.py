"""Tests of graphs of merged states, most of them on trees, which are graphs too."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games import rollout
from acme_psro.games.device_arrays import make_arrays
from acme_psro.games.device_moves import Games, deciding, follow
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.games.profiles import make_profiles
from acme_psro.games.tree import CHANCE, TERMINAL
from tests.acme_psro.games.graphs import ACYCLIC, CYCLIC, graph_of, random_table


def test_a_tree_is_a_graph_with_one_edge_to_each_node(case: Any) -> None:
    tree, graph = case.tree, graph_of_tree(case.tree)
    assert (graph.num_nodes, graph.num_edges) == (tree.num_nodes, tree.num_nodes - 1)
    assert graph.max_moves == len(tree.depth_offsets) - 2
    np.testing.assert_array_equal(np.sort(graph.successor), np.arange(1, tree.num_nodes))
    np.testing.assert_array_equal(graph.source, tree.parent[graph.successor])
    np.testing.assert_array_equal(graph.slot, tree.slot[graph.successor])
    np.testing.assert_array_equal(graph.reward[1:], tree.reward[graph.successor][1:])
    for player in range(tree.num_players):
        assert graph.observations_of(player) == tree.infosets_of(player)
    assert graph.zero_sum == tree.zero_sum
    assert graph.utility_scale == pytest.approx(tree.utility_scale, abs=1e-12)
    assert graph.most_decisions == tree.most_decisions
    np.testing.assert_array_equal(graph.uniform_policy(), tree.uniform_policy())


def test_entries_of_edges_are_those_of_policy_tables(case: Any) -> None:
    tree, graph = case.tree, graph_of_tree(case.tree)
    decided = tree.player[graph.source] >= 0
    sequences = tree.sequences[graph.successor, np.maximum(tree.player[graph.source], 0)]
    np.testing.assert_array_equal(graph.entry[decided], sequences[decided])
    assert (graph.entry[~decided] == -1).all()


@pytest.mark.parametrize("game", [*ACYCLIC, *CYCLIC])
def test_every_node_is_complete(game: str) -> None:
    graph = graph_of(game)
    decides, chance = graph.player >= 0, graph.player == CHANCE
    np.testing.assert_array_equal(
        graph.num_children[decides], graph.legal_actions[graph.observation[decides]].sum(axis=1)
    )
    assert (graph.num_children[graph.player == TERMINAL] == 0).all()
    total = np.bincount(graph.source, graph.probability, graph.num_nodes)
    np.testing.assert_allclose(total[chance], 1.0, atol=1e-9)
    # All nodes but the root are behind an edge, and all observations are somebody's at a node.
    assert set(range(1, graph.num_nodes)) <= set(graph.successor.tolist())
    assert set(graph.observation[decides].tolist()) == set(range(graph.num_observations))
    for player in range(graph.num_players):
        rows = graph.observation[graph.player == player]
        own = graph.observations_of(player)
        assert ((own.start <= rows) & (rows < own.stop)).all()
    assert len(set(graph.keys)) == graph.num_observations == len(graph.info_state)


def test_the_digest_depends_on_everything() -> None:
    graph = graph_of("kuhn_poker")
    changed = (
        dataclasses.replace(graph, reward=graph.reward + 1e-9),
        dataclasses.replace(graph, max_moves=graph.max_moves + 1),
        dataclasses.replace(graph, is_cyclic=True),
        dataclasses.replace(graph, keys=(*graph.keys[:-1], "other")),
        dataclasses.replace(graph, seen_by="other"),
    )
    assert len({graph.digest, *(each.digest for each in changed)}) == 6
    assert dataclasses.replace(graph).digest == graph.digest


@pytest.mark.games("leduc", "kuhn_3p", "auction", "cliff_walking")
def test_rollouts_on_the_graph_of_a_tree_are_those_of_the_tree(case: Any) -> None:
    tree, graph = case.tree, graph_of_tree(case.tree)
    table = jnp.asarray(random_table(graph, 0), jnp.float32)
    play, start, step = (
        jax.jit(rollout.play, static_argnums=(3, 4)),
        jax.jit(rollout.start, static_argnums=4),
        jax.jit(rollout.step),
    )
    seen = []
    for arrays in (make_arrays(tree), make_arrays(graph)):
        assert arrays.horizon is None
        profiles = make_profiles(arrays, table[None], jnp.ones(1))
        seen.append([play(arrays, profiles, jax.random.key(0), 64, 4)])
        player = jnp.int32(tree.num_players - 1)
        games = start(arrays, profiles, player, jax.random.key(1), 64)
        for seed in range(5):
            action = arrays.action_of_slot[arrays.infoset[games.node], 0]
            games, outcome = step(arrays, profiles, player, games, action, jax.random.key(seed))
            seen[-1] += [games.node, outcome.reward, outcome.done, outcome.episodes]
    for one, other in zip(*seen, strict=True):
        np.testing.assert_array_equal(one, other)


LOOP = GameGraph(
    game_string="loop",
    num_players=1,
    # The player stays at node 0, which pays 1, or leaves for the end.
    player=np.array([0, TERMINAL], np.int8),
    observation=np.array([0, -1], np.int32),
    first_edge=np.array([0, 0], np.int32),
    num_children=np.array([2, 0], np.int32),
    successor=np.array([0, 1], np.int32),
    probability=np.ones(2),
    reward=np.array([[1.0], [10.0]]),
    legal_actions=np.ones((1, 2), bool),
    info_state=np.ones((1, 1), np.float32),
    keys=("0|here",),
    observation_offsets=np.array([0, 1]),
    max_moves=3,
    is_cyclic=True,
)


def test_a_move_may_lead_back_to_its_own_node() -> None:
    """Each move is paid, and the episode ends at the horizon."""
    game, player, key = make_arrays(LOOP), jnp.int32(0), jax.random.key(0)
    profiles = make_profiles(game, jnp.asarray([[[0.5, 0.5]]]), jnp.ones(1))
    games = rollout.start(game, profiles, player, key, 2)
    rewards, ends = [], []
    for actions in ([0, 0], [0, 1], [0, 0], [0, 0]):
        games, outcome = rollout.step(game, profiles, player, games, jnp.asarray(actions, jnp.int32), key)
        np.testing.assert_array_equal(deciding(game, player, games), [True, True])
        rewards.append(outcome.reward.tolist())
        ends.append(outcome.done.tolist())
    assert rewards == [[1, 1], [1, 10], [1, 1], [1, 1]]
    assert ends == [[False, False], [False, True], [True, False], [False, False]]


def test_mean_returns_of_a_loop() -> None:
    game = make_arrays(LOOP)
    profiles = make_profiles(game, jnp.asarray([[[1.0, 0.0]]]), jnp.ones(1))
    assert rollout.play(game, profiles, jax.random.key(0), 4, 3).tolist() == [3.0]
    assert LOOP.utility_scale == 12.0
    assert LOOP.most_decisions == 3


def test_games_on_a_cyclic_graph_must_count_their_moves() -> None:
    game = make_arrays(LOOP)
    with pytest.raises(ValueError, match="must count their moves"):
        follow(game, Games(jnp.zeros(2, jnp.int32), jnp.zeros(2, jnp.int32)), jnp.ones(2, int))

"""Distances from a policy hull: hand values, visits, points, bonuses while learning, refusals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.evaluation.deviations import from_plan
from acme_psro.games.compile_graph import compile_graph
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask
from acme_psro.oracles.device import diversity, graph_oracle
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.oracle import DeviceOracle
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.tabular import Policy, make_policy, mixture_plan, uniform_policy
from agents import crossq

_TINY = DeviceConfig(
    gradient_steps=60, num_envs=64, batch_size=64, buffer_size=1000, snapshots=3, max_extensions=0
)


def _pure(tree: GameTree, player: int, action: int) -> Policy:
    rows = tree.infosets_of(player)
    return make_policy(tree, player, np.eye(tree.num_actions)[np.full(rows.stop - rows.start, action)])


def test_divergences_by_hand() -> None:
    """Smoothed by a twentieth, the pure policy is (0.975, 0.025) and the even one itself."""
    legal = jnp.array([[True, True, False], [True, True, False]])
    probs = jnp.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    points = jnp.stack([probs, jnp.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])])
    ratios, found = diversity.log_ratios(probs, points, legal)
    pure = 0.975 * math.log(1.95) + 0.025 * math.log(0.05)
    even = 0.5 * math.log(0.5 / 0.975) + 0.5 * math.log(0.5 / 0.025)
    np.testing.assert_allclose(found, [[0.0, 0.0], [pure, even]], atol=1e-6)
    np.testing.assert_allclose(ratios[1, 0], [math.log(1.95), math.log(0.05), 0.0], atol=1e-6)
    # The nearest point depends on which information states come up.
    nearest = diversity.bonuses(probs, points, legal, jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(nearest, np.zeros((2, 3)), atol=1e-6)
    np.testing.assert_allclose(
        diversity.bonuses(probs, points[1:], legal, jnp.array([1.0, 0.0])), ratios[1], atol=1e-6
    )


@pytest.mark.parametrize("game", ["kuhn_poker", "leduc_poker"])
def test_visits_are_those_of_play(
    game: str, compiled: Callable[[str], GameTree], random_table: Callable[[GameTree, int], np.ndarray]
) -> None:
    tree = compiled(game)
    table = random_table(tree, 0)
    policies = [make_policy(tree, player, table[tree.infosets_of(player)]) for player in range(2)]
    plan = mixture_plan(tree, [(policy,) for policy in policies], [np.ones(1)] * 2)
    # Node by node, from the root.
    reach = np.ones(tree.num_nodes)
    for node in range(1, tree.num_nodes):
        parent = tree.parent[node]
        infoset = tree.infoset[parent]
        moved = 1.0 if infoset < 0 else table[infoset, tree.action_of_slot[infoset, tree.slot[node]]]
        reach[node] = reach[parent] * moved * tree.probability[node]
    for player, policy in enumerate(policies):
        rows = tree.infosets_of(player)
        expected = np.bincount(tree.infoset[tree.player == player], reach[tree.player == player])[rows]
        found = diversity.count_visits(tree, from_plan(tree, plan, player), policy)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_members_and_their_mixtures_are_at_no_distance(compiled: Callable[[str], GameTree]) -> None:
    tree = compiled("kuhn_poker")
    passing, betting = _pure(tree, 0, 0), _pure(tree, 0, 1)
    other = uniform_policy(tree, 1)
    strategy = ProductStrategy((np.ones(1), np.ones(1)))
    task = BestResponseTask(0, ((passing,), (other,)), strategy)
    points = diversity.hull_points(tree, task, np.array([1, 2], np.uint32))
    assert points.shape == (8, tree.num_infosets, tree.num_actions)
    plan = mixture_plan(tree, task.populations, strategy.marginals)
    deviation = from_plan(tree, plan, 0)
    assert diversity.distance(tree, deviation, passing, points) == pytest.approx(0.0, abs=1e-6)
    opposite = 0.975 * math.log(39.0) - 0.025 * math.log(39.0)
    assert diversity.distance(tree, deviation, betting, points) == pytest.approx(opposite, rel=1e-5)
    # The first point is the even mixture, which is no distance from itself.
    both = dataclasses.replace(task, populations=((passing, betting), (other,)))
    points = diversity.hull_points(tree, both, np.array([1, 2], np.uint32))
    mixed = make_policy(tree, 0, points[0][tree.infosets_of(0)])
    assert diversity.distance(tree, deviation, mixed, points) == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_array_equal(points, diversity.hull_points(tree, both, np.array([1, 2], np.uint32)))
    assert not np.array_equal(points, diversity.hull_points(tree, both, np.array([1, 3], np.uint32)))


def _crossq(example: Any, num_actions: int, gradient_steps: int) -> Any:
    config = crossq.CrossQConfig(
        discount=1.0,
        policy_hidden_sizes=(16,),
        critic_hidden_sizes=(16,),
        exploration=0.2,
        temperature=0.1,
        final_temperature=0.01,
        learning_rate=0.02,
        learn_temperature=False,
        horizon=gradient_steps,
    )
    return crossq.make_core(crossq.make_networks(example, num_actions, config), config)


@pytest.mark.long
def test_a_large_weight_makes_responses_differ(
    compiled: Callable[[str], GameTree], quick_compilation: None
) -> None:
    """Against rock and scissors rock earns most, and the population has it: paper comes next."""
    tree = compiled("matrix_rps")
    populations = tuple((_pure(tree, player, 0), _pure(tree, player, 2)) for player in range(2))
    tasks = [
        BestResponseTask(
            0, (populations[0][:1], populations[1]), ProductStrategy((np.ones(1), np.full(2, 0.5)))
        ),
        BestResponseTask(
            1, (populations[0], populations[1][:1]), ProductStrategy((np.full(2, 0.5), np.ones(1)))
        ),
    ]
    # Nothing gains over rock, so that losses must be allowed.
    oracle = DeviceOracle(tree, _crossq, dataclasses.replace(_TINY, diversity=2.0), tolerance=-10.0)
    responses = oracle(np.array([0, 1], np.uint32), tasks)
    # A round with fewer tasks uses the same program.
    responses += oracle(np.array([0, 2], np.uint32), tasks[1:])
    for response in responses:
        assert response.policy is not None and response.policy.table[0].argmax() != 0
        assert response.best_gain == pytest.approx(0.0, abs=1e-12) and response.gain < -0.1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"diversity": -0.1}, "diversity must be a number of at least 0, not -0.1"),
        ({"diversity": math.inf}, "diversity must be a number of at least 0, not inf"),
        ({"diversity": 0.1, "games_per_response": 10}, "set games_per_response to 0"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        DeviceConfig(**settings)


def test_games_without_information_states_are_refused() -> None:
    graph = compile_graph("kuhn_poker", 1000, cache=False)
    with pytest.raises(ValueError, match="diversity needs a game that compiles to a tree"):
        graph_oracle.GraphOracle(graph, _crossq, dataclasses.replace(_TINY, diversity=0.1), 1e-9, 4)

"""Opponents on graphs: profiles by their weights, padding, trembles, and games that pay what payoffs say."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games import rollout
from acme_psro.games.compile import compile_game
from acme_psro.games.device_arrays import make_arrays
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.games.profiles import make_profiles
from acme_psro.meta_game.on_graph import GraphMetaGame
from acme_psro.meta_game.payoffs import value
from acme_psro.oracles.base import BestResponseTask
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.graph_opponents import check_profiles, oppose
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from acme_psro.policies.on_graph import GraphPolicy, GraphPopulation
from tests.acme_psro.evaluation.made_up_graphs import random_tables

_PLAIN = DeviceConfig(trembles=0.0)


@pytest.fixture(name="two", scope="module")
def _two() -> GameGraph:
    return graph_of_tree(compile_game("kuhn_poker"))


@pytest.fixture(name="three", scope="module")
def _three() -> GameGraph:
    return graph_of_tree(compile_game("kuhn_poker(players=3)"))


def draw(graph: GameGraph, size: int) -> tuple[GraphPopulation, ...]:
    tables = random_tables(graph.legal_actions, size, 0)
    players = range(graph.num_players)
    return tuple(tuple(GraphPolicy(table[graph.rows_of(p)]) for table in tables) for p in players)


def test_policies_are_met_by_their_weights_and_padding_never(two: GameGraph) -> None:
    mixture = ProductStrategy((np.array([1.0, 0.0]), np.array([0.75, 0.25])))
    config = DeviceConfig(trembles=0.2, tremble_weight=0.1)

    met = oppose(two, config, BestResponseTask(0, draw(two, 2), mixture), 4)

    # Four fifths by the mixture, one fifth evenly.
    np.testing.assert_allclose(met.weights, [0.7, 0.3, 0, 0], atol=1e-6)
    # Decisions count 1 by the mixture and 0.1 in trembles.
    expected = [(0.8 * 0.75 + 0.1 * 0.1) / 0.7, (0.8 * 0.25 + 0.1 * 0.1) / 0.3, 1, 1]
    np.testing.assert_allclose(met.decision_weights, expected, atol=1e-6)
    assert met.tables.shape == (4, two.num_observations, two.num_actions)
    np.testing.assert_array_equal(met.profiles[:2, 1], [0, 1])


def test_profiles_that_are_never_met_have_finite_weights(two: GameGraph) -> None:
    mixture = ProductStrategy((np.array([0.5, 0.5]), np.array([1.0, 0.0])))

    met = oppose(two, _PLAIN, BestResponseTask(0, draw(two, 2), mixture), 2)

    np.testing.assert_array_equal(met.weights, [1, 0])
    assert np.isfinite(met.decision_weights).all()


def test_two_others_are_met_as_they_draw_together(three: GameGraph) -> None:
    joint = JointStrategy(np.array([[0, 1, 0], [1, 1, 0], [1, 0, 1]]), np.array([0.2, 0.3, 0.5]))

    met = oppose(three, _PLAIN, BestResponseTask(0, draw(three, 2), joint), 3)

    assert met.weights.shape == (9,) and met.tables.shape[0] == 3
    # Of what player 0 would draw itself, the others' part alone counts.
    found = {tuple(met.profiles[k, 1:]): met.weights[k] for k in np.flatnonzero(met.weights)}
    assert found == pytest.approx({(1, 0): 0.5, (0, 1): 0.5})


def test_games_pay_what_the_joint_draw_pays(three: GameGraph) -> None:
    populations = draw(three, 2)
    joint = JointStrategy(np.array([[0, 0, 1], [1, 1, 0], [0, 1, 1]]), np.array([0.5, 0.3, 0.2]))
    payoffs = GraphMetaGame(three).extend(populations, None)
    met = oppose(three, _PLAIN, BestResponseTask(0, populations, joint), 2)
    game = make_arrays(three)
    # Player 0 plays its first policy whatever the others draw.
    tables = met.tables.copy()
    tables[:, three.rows_of(0)] = populations[0][0].table
    profiles = make_profiles(game, jnp.asarray(tables), jnp.asarray(met.weights), jnp.asarray(met.profiles))

    estimate = rollout.play(game, profiles, jax.random.key(0), 1000, 40)

    mixed = JointStrategy(joint.profiles * [0, 1, 1], joint.probabilities)
    expected = value(payoffs, mixed)
    assert np.abs(expected - payoffs.mean(axis=(1, 2, 3))).max() > 0.05
    np.testing.assert_allclose(estimate, expected, atol=0.03)


def test_too_many_profiles_are_refused_with_what_fits(three: GameGraph, two: GameGraph) -> None:
    check_profiles(two, 100_000)
    check_profiles(three, 1000)
    with pytest.raises(ValueError, match="set --iterations to at most 999") as caught:
        check_profiles(three, 1002)
    assert "\n" not in str(caught.value)

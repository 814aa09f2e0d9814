"""Members on a graph: what they play and earn is that of the tree of the same game; sinks from files."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.compile_graph import compile_graph
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.games.tree import GameTree
from acme_psro.neupl.base import MemberGame
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.on_graph import GraphMembers, make_graph_sinks
from acme_psro.neupl.on_tree import TreeMembers
from acme_psro.neupl.oracle import NeuPLOracle
from acme_psro.oracles.base import BestResponseTask, Response
from acme_psro.policies import decoders, stored
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.stored import StoredPolicyError
from acme_psro.psro.loop import iteration_key
from agents import settings
from agents.registry import AGENTS

pytestmark = pytest.mark.usefixtures("quick_module")

CONFIG = NeuPLConfig(
    population_size=3, rounds=1, num_envs=16, updates_per_round=3, batch_size=16, payoffs="estimated"
)


@pytest.fixture(name="tree", scope="module")
def _tree() -> GameTree:
    return compile_game("kuhn_poker")


@pytest.fixture(name="graph", scope="module")
def _graph(tree: GameTree) -> GameGraph:
    return graph_of_tree(tree)


def draw_tables(tree: GameTree, num: int) -> np.ndarray:
    """Returns policies `[num, I, A]` for all players."""
    weights = np.random.default_rng(0).random((num, *tree.legal_actions.shape)) * tree.legal_actions
    return weights / weights.sum(axis=2, keepdims=True)


def train(members: MemberGame[Any], epochs: int, config: NeuPLConfig = CONFIG) -> list[Response[Any]]:
    """Returns the responses of the last epoch of a small network."""
    parts = AGENTS["conditional_mpo"].core()
    small = {"policy_hidden_sizes": (16,), "critic_hidden_sizes": (16,), "learning_rate": 0.01}
    chosen = settings.replace(
        "conditional_mpo", parts.presets["games"], {**small, "mixture_size": config.context_size}
    )

    def make(example: Any, num_actions: int, steps: int) -> Any:
        planned = dataclasses.replace(chosen, horizon=steps)
        return parts.make_core(parts.make_networks(example, num_actions, planned), planned)

    oracle = NeuPLOracle(members, make, config, epochs)
    sinks = members.make_populations(members.compiled.uniform_policy()[None])
    populations = tuple(own * config.population_size for own in sinks)
    payoffs = members.assess(populations, np.zeros((2, 3, 3))).payoffs
    uniform = np.full(config.population_size, 1 / config.population_size)
    strategy = ProductStrategy((uniform, uniform))
    responses: list[Response[Any]] = []
    for epoch in range(epochs):
        tasks = [BestResponseTask(player, populations, strategy, payoffs) for player in range(2)]
        responses = list(oracle(iteration_key(0, epoch), tasks))
        populations, payoffs = tuple(each.others for each in responses), responses[0].payoffs
    assert oracle.traces == 1
    return responses


@pytest.mark.long
def test_members_learn_on_a_graph_what_they_learn_on_the_tree(tree: GameTree, graph: GameGraph) -> None:
    on_tree, on_graph = train(TreeMembers(tree), 2), train(GraphMembers(graph), 2)

    for own, other in zip(on_tree, on_graph, strict=True):
        assert own.counts == other.counts
        for mine, theirs in zip(own.others, other.others, strict=True):
            np.testing.assert_allclose(mine.table, theirs.table, atol=1e-6)
        np.testing.assert_allclose(own.payoffs, other.payoffs, atol=1e-5)
        assert own.metrics["payoff_error"] == pytest.approx(other.metrics["payoff_error"], abs=1e-5)
    # They are not all the sink.
    assert np.abs(on_graph[0].others[1].table - on_graph[0].others[0].table).max() > 1e-3


def test_payoffs_and_values_are_those_of_the_tree(tree: GameTree, graph: GameGraph) -> None:
    tables = draw_tables(tree, 3)
    rows = np.tile(np.tril(np.full((3, 3), 0.5), -1), (2, 1, 1))
    rows[:, 0, 0] = rows[:, 1, 0] = 1.0
    on_tree, on_graph = TreeMembers(tree), GraphMembers(graph)

    expected = on_tree.assess(on_tree.make_populations(tables), rows)
    found = on_graph.assess(on_graph.make_populations(tables), rows)

    np.testing.assert_allclose(found.payoffs, expected.payoffs, atol=1e-12)
    np.testing.assert_allclose(found.values.own, expected.values.own, atol=1e-12)
    np.testing.assert_allclose(found.values.before, expected.values.before, atol=1e-12)
    # Exact best responses that remember are left to the evaluation of the run.
    assert np.isnan(found.values.best[:, 1:]).all()
    populations = on_graph.make_populations(tables)
    assert on_graph.exploit(populations, np.full((1, 3), 1 / 3), tables[:1]) is None


def test_games_last_as_long_as_the_graph_says() -> None:
    """In Kuhn poker a player decides twice at most."""
    merged = compile_graph("kuhn_poker", 100)
    assert merged.num_nodes < compile_game("kuhn_poker").num_nodes
    assert merged.most_decisions == compile_game("kuhn_poker").most_decisions == 2
    assert train(GraphMembers(merged), 1)[0].counts.env_steps == 2 * 16 * 2


def test_sinks_come_from_files_of_graphs(graph: GameGraph, tree: GameTree, tmp_path: pathlib.Path) -> None:
    table = draw_tables(tree, 1)[0]
    path = tmp_path / "policy.npz"
    stored.write(path, decoders.from_graph_policy(graph, 1, table[graph.rows_of(1)]))

    sinks = make_graph_sinks(graph, NeuPLConfig(sink=str(path)))

    np.testing.assert_allclose(sinks[1].table, table[graph.rows_of(1)], atol=1e-12)
    np.testing.assert_array_equal(sinks[0].table, graph.uniform_policy()[graph.rows_of(0)])
    stored.write(path, decoders.uniform(graph.game_string, 1))
    uniform = make_graph_sinks(graph, NeuPLConfig(sink=str(path)))
    np.testing.assert_array_equal(uniform[1].table, graph.uniform_policy()[graph.rows_of(1)])


def test_sinks_that_may_remember_are_refused_in_one_line(
    graph: GameGraph, tree: GameTree, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "policy.npz"
    policy = TreeMembers(tree).make_populations(draw_tables(tree, 1))[0][0]
    stored.write(path, decoders.from_tree_policy(tree, 0, policy))

    with pytest.raises(StoredPolicyError, match="is of kind 'table', which may remember more") as refusal:
        make_graph_sinks(graph, NeuPLConfig(sink=str(path)))
    assert "\n" not in str(refusal.value)

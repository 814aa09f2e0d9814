"""Tests of the program's nodes, whose workers are made here and called directly."""

import pathlib
import pickle
from collections.abc import Callable
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
import launchpad as lp
import numpy as np
import pytest
import reverb
from acme.utils import counting

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.graph_node import GraphNode
from acme_psro.agent_runs.neupl_program.layout import NeuPLLayout, PopulationLearner
from acme_psro.agent_runs.neupl_program.parts import make_parts
from acme_psro.agent_runs.program import workers
from agents.acme_layer import batched_acting

Make = Callable[..., NeuPLProgramConfig]


def make_layout(config: NeuPLProgramConfig, directory: pathlib.Path) -> NeuPLLayout:
    return NeuPLLayout(config, make_parts(config), directory)


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({}, {"actor", "counter", "graph", "learner"}),
        ({"replay_with_learner": False}, {"actor", "counter", "graph", "learner", "replay"}),
        ({"lp_launch_type": "local_mt"}, {"actor", "counter", "graph", "learner", "replay"}),
    ],
)
def test_each_kind_of_node_has_a_group(
    changes: dict[str, Any], labels: set[str], small: Make, tmp_path: pathlib.Path
) -> None:
    made = make_layout(small(num_actors=3, **changes), tmp_path).build()
    assert set(made.groups) == labels
    assert len(made.groups["actor"]) == 3


def test_nodes_can_be_sent_to_other_processes(small: Make, tmp_path: pathlib.Path) -> None:
    config = small()
    layout = make_layout(config, tmp_path)
    again = pickle.loads(pickle.dumps(layout.graph))(None, counting.Counter())
    assert isinstance(again, GraphNode)
    np.testing.assert_array_equal(again.get_graph()[1], layout.graph(None, counting.Counter()).get_graph()[1])


def test_exact_figures_are_measured_only_if_the_game_is_small_enough(
    small: Make, tmp_path: pathlib.Path
) -> None:
    def measures(max_nodes: int) -> bool:
        layout = make_layout(small(max_nodes=max_nodes), tmp_path)
        return layout.graph(None, counting.Counter())._measure is not None  # type: ignore[arg-type]

    assert [measures(max_nodes) for max_nodes in (0, 20, 1000)] == [False, False, True]


def test_an_actor_plays_learns_and_evaluates(
    small: Make, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its items have the members' contexts, and its evaluation games go to the graph node."""
    config = small(replay_settings={"samples_per_insert": 1.0, "samples_per_insert_tolerance_rate": 1e6})
    layout = make_layout(config, tmp_path)
    core = layout._agent.make_core(layout._network_factory(layout._environment_spec))
    variables = jax.device_get(core.variables(core.init(jax.random.PRNGKey(0))))
    source: Any = type("Source", (), {"get_variables": lambda self, names: [variables]})()
    counter = counting.Counter()
    node = layout.graph(source, counter)
    server = reverb.Server(layout.replay())
    client = reverb.Client(f"localhost:{server.port}")
    loop = layout.player(jax.random.PRNGKey(1), client, source, counter, node, 0)
    monkeypatch.setattr(batched_acting.signals, "runtime_terminator", workers.contextlib.nullcontext)
    loop._loop.run(num_episodes=700)  # type: ignore[call-arg]
    # A share of 0.3 is 300 games, and those that are still owed are less than the 16 that are played at once.
    assert sum(len(games.outcome) for games in node._inbox) in (288, 304)
    sample = next(layout._agent.builder.make_dataset_iterator(client)).data
    contexts = np.asarray(sample.observation.context)
    # Both observations of a decision are the same member's.
    np.testing.assert_array_equal(
        contexts[sample.discount > 0], np.asarray(sample.next_observation.context)[sample.discount > 0]
    )
    graph = node.get_graph().graph
    for context in contexts:
        rows = graph[int(context[-1]), 1:].astype(np.float32)
        assert (rows == context[:-1]).all(axis=1).any()
    assert set(contexts[:, -1]) == {0.0, 1.0}
    server.stop()


def test_the_learner_leaves_policies_to_the_graph_node(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lp, "wait_for_stop", lambda seconds: True)
    learner = object.__new__(PopulationLearner)
    learner._directory = tmp_path
    run_directory.write_ending(tmp_path, {"actor_steps": 5.0})
    learner._finish()
    assert run_directory.has_finished(tmp_path)
    assert not run_directory.policy_file(tmp_path).exists()

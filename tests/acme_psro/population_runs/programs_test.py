"""Tests of runs whose responses are trained on a cluster: the same numbers as on this machine."""

import concurrent.futures
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

import acme_psro
from acme_psro.population_runs import programs
from acme_psro.population_runs import seeds as side_by_side
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.configure import configure
from acme_psro.population_runs.prepare import prepare_run
from acme_psro.psro import loop
from acme_psro.psro.rounds import ask_responses
from acme_psro.system import own_modules
from acme_psro.system.executors.placing import LOCAL, Placing
from acme_psro.system.executors.pool_workers import WorkersLostError
from tests.acme_psro.population_runs.fakes import untimed
from tests.acme_psro.system.executors import ray_nodes

# A budget that learns next to nothing, fast.
_PLAYING = {"gradient_steps": 20, "num_envs": 32, "batch_size": 32, "buffer_size": 1000, "enough": 0.9}
_KEEPING = {"gradient_steps": 40, "games_per_response": 20, "max_games_per_response": 200, "batch_size": 64}
_AGENT = {"critic_hidden_sizes": (16,), "policy_hidden_sizes": (16,)}
_MEMBERS = {"population_size": 2, "num_envs": 8, "rounds": 2, "updates_per_round": 2, "batch_size": 16}


@pytest.fixture(scope="module")
def nodes(quick_module: None) -> Iterator[ray_nodes.Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        # What `quick_module` does here; workers must compile alike.
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        with ray_nodes.cluster(num_nodes=2) as found:
            yield found


def _config(game: str = "kuhn_poker", iterations: int = 2, **given: Any) -> PSROConfig:
    usual: dict[str, Any] = dict.fromkeys(
        ("agent", "preset", "meta_solver", "max_nodes", "launchpad", "simulation", "neupl")
    )
    usual |= {"loop": "psro", "oracle": "device", "seed": 3, "tolerance": 1e-7, "payoffs": "auto"}
    usual |= {"device": _PLAYING, "agent_settings": _AGENT}
    return configure(game, iterations=iterations, **{**usual, **given})


def _run_seeds(root: pathlib.Path, placing: Placing) -> None:
    config = _config()
    with side_by_side.opened_seeds(config, 2, root, False, 0.0, pytest.fail, placing=placing) as runs:
        begun = side_by_side.begin_seeds(runs, pytest.fail)
        side_by_side.carry_out_seeds(begun, root, show_progress=False, placing=placing)


def _assert_same_run(left: pathlib.Path, right: pathlib.Path) -> None:
    # It takes NaN for equal to NaN.
    np.testing.assert_equal(untimed(left), untimed(right))
    one, other = acme_psro.load_run(left), acme_psro.load_run(right)
    assert one.population_sizes == other.population_sizes
    np.testing.assert_array_equal(one.payoffs, other.payoffs)


def test_seeds_on_two_nodes_have_the_numbers_of_one_machine(
    nodes: ray_nodes.Nodes, tmp_path: pathlib.Path
) -> None:
    _run_seeds(tmp_path / "local", LOCAL)
    _run_seeds(tmp_path / "cluster", nodes.placing())
    for seed in (3, 4):
        _assert_same_run(tmp_path / "local" / f"seed_{seed}", tmp_path / "cluster" / f"seed_{seed}")


def _prepared(config: PSROConfig, directory: pathlib.Path) -> PopulationRun[Any, Any]:
    return prepare_run(config, directory, 0.0, pytest.fail, lambda nodes: None)


def _requests(run: PopulationRun[Any, Any], num: int) -> list[Any]:
    """Returns what a run's oracle asks for first, with several keys."""
    tasks = run.loop.tasks(loop.initialise(run.meta_game, run.loop))
    return [next(ask_responses(run.oracle, loop.iteration_key(0, number), tasks)) for number in range(num)]


def _leaves(results: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(results)]


# Games that are kept, opponents on a graph, a start in the population, and carried states.
_KINDS = {
    "alone": {"device": {**_PLAYING, "lanes_alone": True}},
    "kept": {"device": _KEEPING},
    "graph": {"max_nodes": 40},
    "population": {"warm_start": "population", "agent": "conditional_mpo", "agent_settings": {}},
    "members": {"loop": "neupl", "device": None, "neupl": _MEMBERS, "agent_settings": {}},
}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.slow) for kind in _KINDS])
def test_every_kind_of_lane_has_the_same_results_on_a_cluster(
    kind: str, nodes: ray_nodes.Nodes, tmp_path: pathlib.Path
) -> None:
    run = _prepared(_config(**_KINDS[kind]), tmp_path)
    (request,) = _requests(run, 1)
    with (
        programs.opened_program([run]) as here,
        programs.opened_program([run], None, nodes.placing()) as there,
    ):
        assert here is not None
        assert there is not None
        assert _leaves(there([request])) == _leaves(here([request]))


@pytest.mark.slow
def test_a_node_that_is_lost_changes_nothing(nodes: ray_nodes.Nodes, tmp_path: pathlib.Path) -> None:
    run = _prepared(_config(), tmp_path)
    requests = _requests(run, 4)
    with programs.opened_program([run]) as here:
        assert here is not None
        expected = [_leaves(here([request])) for request in requests]
    with programs.opened_program([run, run], None, nodes.placing()) as there:
        assert there is not None
        assert _leaves(there(requests[:1])) == expected[0]
        assert re.match(r"[12] workers? on [12] nodes? of the Ray cluster", run.describe_now()[0])
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = [pool.submit(there, [request]) for request in requests]
            nodes.remove(nodes.workers[-1])
            try:
                assert [_leaves(answer.result(60)) for answer in answers] == expected
            finally:
                nodes.add()


def test_what_a_cluster_cannot_do_is_refused(nodes: ray_nodes.Nodes, tmp_path: pathlib.Path) -> None:
    run = _prepared(_config(), tmp_path)
    with (
        pytest.raises(ValueError, match=r"^--devices counts devices of this machine: [^\n]*$"),
        programs.opened_program([run], [0], nodes.placing()),
    ):
        pass
    with (
        pytest.raises(ValueError, match=r"^no node of the Ray cluster has room for [^\n]*$"),
        programs.opened_program([run], None, nodes.placing(cpus_per_response=64.0)),
    ):
        pass


def test_a_module_that_a_worker_does_not_find_is_named(
    nodes: ray_nodes.Nodes, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(own_modules.VARIABLE, json.dumps({"modules": ["unheard_of"], "directory": "/"}))
    run = _prepared(_config(), tmp_path)
    (request,) = _requests(run, 1)
    with programs.opened_program([run], None, nodes.placing()) as there:
        assert there is not None
        with pytest.raises(WorkersLostError, match=r"cannot start: --import_module=unheard_of: [^\n]*$"):
            there([request])

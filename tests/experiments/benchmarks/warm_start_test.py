"""Tests of experiments.benchmarks.warm_start: equal questions for all sides, steps, and the command."""

import os
import pathlib
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.policies.tabular import meta_strategy_plan
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.response_agents import make_agent
from agents.core import Observation
from experiments.benchmarks.shared.beginnings import (
    FRESH,
    POPULATION,
    WHOLE,
    Side,
    Way,
    count_steps,
    record_tasks,
    take_whole,
)
from experiments.benchmarks.shared.beginnings_table import print_sides
from experiments.benchmarks.shared.many_responses import mixtures

ROOT = pathlib.Path(__file__).resolve().parents[3]
SETTINGS: dict[str, Any] = {"policy_hidden_sizes": (32,), "critic_hidden_sizes": (32,), "discount": 1.0}
DEVICE = DeviceConfig(gradient_steps=120, batch_size=64, snapshots=6, games_per_response=1000)


@pytest.fixture(scope="module")
def tree() -> GameTree:
    return compile_game("kuhn_poker", cache=False)


def test_questions_are_those_of_exact_runs(tree: GameTree) -> None:
    recorded = record_tasks(tree, "psro", 4)
    for tasks, plan in zip(recorded, mixtures(tree, 4), strict=True):
        assert [task.player for task in tasks] == [0, 1]
        for task in tasks:
            np.testing.assert_allclose(meta_strategy_plan(tree, task.populations, task.meta_strategy), plan)
    first = record_tasks(tree, "xdo", 2)[0][0]
    uniform = traverse.realisation_plan(tree, tree.uniform_policy())
    np.testing.assert_allclose(meta_strategy_plan(tree, first.populations, first.meta_strategy), uniform)


def test_a_run_that_converges_has_fewer_questions(tree: GameTree) -> None:
    assert 2 < len(record_tasks(tree, "psro", 100)) < 30


@pytest.mark.parametrize("games", [pytest.param(0, marks=pytest.mark.slow), 1000])
@pytest.mark.slow
def test_later_responses_depend_on_the_population_alone(tree: GameTree, games: int) -> None:
    recorded = record_tasks(tree, "psro", 2)
    device = DeviceConfig(**{**vars(DEVICE), "games_per_response": games, "num_envs": 64})
    gaps = {name: Side(tree, Way(name, SETTINGS), device).gaps(recorded, 1) for name in (FRESH, WHOLE)}
    for found in gaps.values():
        assert found.shape == (2, 2, 6)
        assert (np.diff(found, axis=-1) <= 0).all()
        assert (found > -1e-9).all()
    # The first responses are the same: all sides answer the same questions with the same random numbers.
    np.testing.assert_array_equal(gaps[FRESH][0], gaps[WHOLE][0])
    assert not np.array_equal(gaps[FRESH][1], gaps[WHOLE][1])


@pytest.mark.slow
def test_responses_from_the_population_are_learned(tree: GameTree) -> None:
    side = Side(tree, Way(POPULATION, SETTINGS), DEVICE)
    recorded = record_tasks(tree, "psro", 3)
    gaps = side.gaps(recorded, 0)
    assert np.nanmedian(gaps[1:, :, -1]) < 0.05
    np.testing.assert_array_equal(gaps, side.gaps(recorded, 0))


def test_steps_are_those_of_the_first_snapshot_within_the_gap() -> None:
    never, nothing = [0.9, 0.5, 0.2, 0.1], [np.nan] * 4
    first = [[0.0] * 4, [0.0] * 4]
    gaps = np.array([[first, [[0.5, 0.03, 0.0, 0.0], [0.02, 0.0, 0.0, 0.0]], [never, nothing]]])
    steps = count_steps(gaps, 200, 0.03)
    # The first task does not count, nor one without a gain: 50, 100 and never.
    assert steps.quartiles == (100.0, 100.0, np.inf)
    assert steps.reached == pytest.approx(2 / 3)
    assert count_steps(gaps, 200, 0.1).quartiles == (100.0, 100.0, 200.0)


def test_the_table_has_a_row_a_side_and_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    slow, fast = (np.tile(np.arange(24) < first, (2, 3, 2, 1)).astype(float) for first in (11, 5))
    print_sides({"fresh networks": slow, "from the population": fast}, 240)
    printed = capsys.readouterr().out
    rows = {line.partition("  ")[0]: line.split() for line in printed.splitlines()}
    assert rows["fresh networks"][2:] == ["120", "120", "to", "120", "100", "100.0", "0.0", "0.0"]
    assert rows["from the population"][3:] == ["60", "60", "to", "60", "100", "100.0", "0.0", "0.0"]
    assert "bar: median steps from the population, 0.50 of fresh networks', 0.5 at most: met" in printed


def test_a_whole_network_is_taken_over_with_fresh_optimisers() -> None:
    config = PSROConfig("kuhn_poker", agent="conditional_mpo", agent_settings=SETTINGS)
    example = Observation(jnp.zeros((1, 4)), jnp.ones((1, 2), bool), jnp.zeros((1, 0)))
    core = take_whole(make_agent(config)(example, 2, 100))
    assert core.joining is not None
    old, fresh = core.init(jax.random.key(0)), core.init(jax.random.key(1))
    joined = core.joining.join(jax.random.key(1), core.joining.leave(old))
    for name in old._fields:
        source = old if name in ("policy", "target_policy", "critic", "target_critic") else fresh
        jax.tree.map(np.testing.assert_array_equal, getattr(joined, name), getattr(source, name))


def call(tmp_path: pathlib.Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.benchmarks.warm_start", "--game=kuhn_poker", *flags]
    environment = os.environ | {"ACME_PSRO_CACHE": str(tmp_path)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("games", [0, 500])
def test_benchmark_prints_its_table(tmp_path: pathlib.Path, games: int) -> None:
    sizes = ("--iterations=2", "--gradient_steps=24", "--snapshots=3", f"--games_per_response={games}")
    done = call(tmp_path, *sizes, "--seeds=3")
    assert done.returncode == 0, done.stderr
    assert "responses of 2 iterations of exact psro in kuhn_poker(), 24 updates and" in done.stdout
    sides = ("fresh networks", "fresh networks, its settings", "from the population", "whole network")
    assert all(f"\n{side}  " in done.stdout for side in sides)
    assert "bar: median steps from the population, " in done.stdout


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--iterations=1", "--iterations must be at least 2, not 1: first responses do not count."),
        ("--gradient_steps=0", "--gradient_steps must be at least 1, not 0."),
        ("--loop=neupl", "no loop named 'neupl'; use one of psro, xdo, anytime."),
        ("--seeds=x", "--seeds takes whole numbers, 0 or more"),
        ("--games_per_response=-1", "games_per_response must not be negative, not -1."),
    ],
)
def test_bad_input_is_one_line(flag: str, said: str, tmp_path: pathlib.Path) -> None:
    done = call(tmp_path, flag)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert said in done.stderr

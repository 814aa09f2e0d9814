"""Tests of experiments.benchmarks.one_network: equal budgets, exact gaps, and a run as users run it."""

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
from experiments.benchmarks.shared.many_responses import (
    Opponent,
    TrainAll,
    make_budget,
    make_one,
    make_opponents,
    make_separate,
    relative_gaps,
)

ROOT = pathlib.Path(__file__).resolve().parents[3]
SETTINGS: dict[str, Any] = {"policy_hidden_sizes": (32,), "critic_hidden_sizes": (32,), "discount": 1.0}
TOTAL = DeviceConfig(gradient_steps=320, num_envs=64, batch_size=128, buffer_size=4000, snapshots=4)


@pytest.fixture(scope="module")
def tree() -> GameTree:
    return compile_game("kuhn_poker", cache=False)


@pytest.fixture(scope="module")
def opponents(tree: GameTree) -> list[Opponent]:
    return make_opponents(tree, 0, 2)


def tables_of(opponents: list[Opponent]) -> jax.Array:
    return jnp.asarray(np.stack([opponent.table for opponent in opponents]), jnp.float32)


@pytest.mark.parametrize(("members", "num_envs", "batch_size"), [(1, 64, 128), (8, 1024, 1024), (8, 10, 200)])
def test_budgets_are_equal_in_total(members: int, num_envs: int, batch_size: int) -> None:
    total = DeviceConfig(1600, num_envs, batch_size, 40_000, snapshots=10)
    budget = make_budget(total, members)
    one, separate = budget.one, budget.separate
    assert one.gradient_steps == 1600 == members * separate.gradient_steps
    assert one.buffer_size == members * separate.buffer_size
    assert one.batch_size == separate.batch_size == batch_size
    # Updates are done in whole rounds and snapshots: none is added to either.
    for config in (one, separate):
        per_snapshot = config.rounds_per_snapshot * config.updates_per_round
        assert config.num_snapshots * per_snapshot == config.gradient_steps
    ours, theirs = budget.env_steps
    assert 0 <= 1 - ours / theirs < 0.05


def test_env_steps_are_counted_by_hand() -> None:
    # 16 rounds fill a buffer with 160 decisions of 10 games; then one round for 4 updates.
    budget = make_budget(DeviceConfig(64, 10, 160, 1000, updates_per_round=4, snapshots=2), 2)
    assert budget.separate.num_envs == 10
    assert budget.one.num_envs == 2 * 10 * (16 + 8) // (16 + 16)
    assert budget.env_steps[1] == 2 * 10 * (16 + 8)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gradient_steps": 100}, "must be a multiple of members .* 32, for all to get as many, not 100"),
        ({"buffer_size": 255}, "--buffer_size must hold a batch for each member, 256, not 255"),
    ],
)
def test_budget_that_cannot_be_shared_is_refused(changes: dict[str, int], said: str) -> None:
    config = DeviceConfig(**{**vars(TOTAL), **changes})
    with pytest.raises(ValueError, match=said):
        make_budget(config, 2)


@pytest.mark.parametrize("player", [0, 1])
def test_opponents_are_the_tasks_of_exact_psro(tree: GameTree, player: int) -> None:
    uniform, second = make_opponents(tree, player, 2)
    np.testing.assert_array_equal(uniform.table, tree.uniform_policy())
    theirs = tree.infosets_of(1 - player)
    assert not np.allclose(uniform.table[theirs], second.table[theirs])
    for opponent in (uniform, second):
        plan = traverse.realisation_plan(tree, opponent.table)
        np.testing.assert_allclose(plan, opponent.plan, atol=1e-12)
        assert opponent.best_gain == pytest.approx(traverse.gains(tree, plan)[player])
        assert opponent.present == pytest.approx(traverse.expected_returns(tree, plan)[player])
    # Against uniform players, Kuhn's first player can have 1/2 and the second 5/12.
    assert uniform.best_gain + uniform.present == pytest.approx((1 / 2, 5 / 12)[player])


def test_too_many_opponents_are_refused(tree: GameTree) -> None:
    assert len(make_opponents(tree, 0, 4)) == 4
    with pytest.raises(ValueError, match=r"only 4 different tasks for player 0 .* lower --members from 9"):
        make_opponents(tree, 0, 9)
    with pytest.raises(ValueError, match="--player must be one of 0 to 1, not 2"):
        make_opponents(tree, 2, 2)


def test_gaps_are_those_of_the_most_probable_actions(tree: GameTree, opponents: list[Opponent]) -> None:
    best = [traverse.best_response(tree, opponent.plan, 0).table for opponent in opponents]
    uniform = tree.uniform_policy()
    # Somewhat probable is enough; the other member's response is worse; what was better before is kept.
    probs = np.array([[best[1], best[0]], [0.6 * best[0] + 0.4 * uniform, best[0]], [best[1], best[1]]])
    gaps = relative_gaps(tree, 0, opponents, probs)
    np.testing.assert_allclose(gaps[1:, 0], 0.0, atol=1e-9)
    assert gaps[2, 1] == pytest.approx(0.0, abs=1e-9)
    rows = tree.infosets_of(0)
    for member, wrong in ((0, best[1]), (1, best[0])):
        table = opponents[member].table.copy()
        table[rows] = wrong[rows]
        value = traverse.expected_returns(tree, traverse.realisation_plan(tree, table))[0]
        lost = opponents[member].present + opponents[member].best_gain - value
        assert gaps[0, member] == pytest.approx(lost / opponents[member].best_gain)
    assert gaps[0].max() > 0.1


@pytest.fixture(scope="module")
def train_separate(tree: GameTree) -> TrainAll:
    return jax.jit(make_separate(tree, 0, make_budget(TOTAL, 2), SETTINGS))


@pytest.fixture(scope="module")
def train_one(tree: GameTree) -> TrainAll:
    return jax.jit(make_one(tree, 0, make_budget(TOTAL, 2), SETTINGS))


@pytest.mark.slow
@pytest.mark.parametrize("side", ["train_one", "train_separate"])
def test_both_sides_learn(
    side: str, tree: GameTree, opponents: list[Opponent], request: pytest.FixtureRequest
) -> None:
    train_all = request.getfixturevalue(side)
    probs = np.asarray(train_all(jax.random.key(0), tables_of(opponents)))
    assert probs.shape == (4, 2, tree.num_infosets, tree.num_actions)
    assert (probs[:, :, ~tree.legal_actions] == 0).all()
    np.testing.assert_allclose(probs.sum(axis=-1), 1.0, atol=1e-5)
    assert relative_gaps(tree, 0, opponents, probs)[-1].mean() < 0.1
    # Members become different policies.
    assert np.abs(probs[-1, 0] - probs[-1, 1])[tree.infosets_of(0)].max() > 0.5


@pytest.mark.long
def test_separate_networks_share_nothing(train_separate: TrainAll, opponents: list[Opponent]) -> None:
    tables = tables_of(opponents)
    probs = train_separate(jax.random.key(0), tables)[-1]
    other = train_separate(jax.random.key(0), tables[jnp.array([0, 0])])[-1]
    np.testing.assert_array_equal(probs[0], other[0])
    assert not np.allclose(probs[1], other[1])
    # Even against the same opponent each has random numbers of its own.
    assert not np.allclose(other[0], other[1])


def call(tmp_path: pathlib.Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.benchmarks.one_network", "--game=kuhn_poker", *flags]
    environment = os.environ | {"ACME_PSRO_CACHE": str(tmp_path)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_benchmark_prints_its_table_and_draws(tmp_path: pathlib.Path) -> None:
    figure = tmp_path / "gaps.png"
    sizes = ("--members=2", "--gradient_steps=64", "--snapshots=4", "--num_envs=16", "--batch_size=32")
    done = call(tmp_path, *sizes, "--seeds=3,4", f"--figure={figure}")
    assert done.returncode == 0, done.stderr
    assert "64 gradient steps of one network, 32 of each separate one" in done.stdout
    rows = {line.partition("  ")[0]: line.split()[-6:] for line in done.stdout.splitlines()}
    means = []
    for name in ("one network", "separate networks"):
        first, second, mean, worst, *_ = map(float, rows[name])
        assert mean == pytest.approx((first + second) / 2, abs=0.11)
        assert worst >= mean
        means.append(mean)
    verdict = "met" if means[0] <= means[1] / 2 else "MISSED"
    said = (
        f"one network's mean gap, {means[0]} %, at most half of separate networks', {means[1]} %: {verdict}"
    )
    assert f"bar: {said}\n" in done.stdout
    assert "machine: " in done.stdout
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--members=0", "--members must be at least 1, not 0."),
        ("--gradient_steps=10", "--gradient_steps must be a multiple of"),
        ("--seeds=x", "--seeds takes whole numbers, 0 or more"),
    ],
)
def test_bad_input_is_one_line(flag: str, said: str, tmp_path: pathlib.Path) -> None:
    done = call(tmp_path, flag)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert said in done.stderr

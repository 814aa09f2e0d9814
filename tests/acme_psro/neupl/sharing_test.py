"""Epochs of several runs as lanes of one program: each run is what it is alone."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest

from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.spreading import make_spread
from acme_psro.oracles.device.lanes import LaneProgram
from tests.acme_psro.commands.launching import ROOT
from tests.acme_psro.neupl.oracle_test import Run, tables_of

pytestmark = pytest.mark.usefixtures("quick_module")

TINY = NeuPLConfig(
    population_size=3, rounds=1, num_envs=16, updates_per_round=2, batch_size=16, buffer_size=200
)


def train_together(runs: list[Run], program: LaneProgram, epochs: int) -> None:
    """Trains runs epoch by epoch, all lanes in one call if the program takes as many."""
    for _ in range(epochs):
        asking = [run.oracle.ask(*run.question()) for run in runs]
        requests = [next(each) for each in asking]
        if program.most_requests == 1:
            results = [program([request])[0] for request in requests]
        else:
            results = program(requests)
        for run, each, result in zip(runs, asking, results, strict=True):
            with pytest.raises(StopIteration) as done:
                each.send(result)
            run.take(done.value.value)


def assert_same(left: Run, right: Run, tolerance: float = 0.0) -> None:
    for one, other in zip(left.populations, right.populations, strict=True):
        for policy, same in zip(one, other, strict=True):
            np.testing.assert_allclose(policy.table, same.table, rtol=0, atol=tolerance)


@pytest.mark.long
@pytest.mark.games("kuhn")
def test_runs_that_share_a_program_are_what_they_are_alone(case: Any) -> None:
    alone = [Run(case.tree, TINY, seed=seed) for seed in (0, 1)]
    first = [tables_of(run.train(2)) for run in alone]
    assert not np.array_equal(first[0][0], first[1][0])
    together = [Run(case.tree, TINY, seed=seed) for seed in (0, 1)]
    owner = together[0].oracle
    program = owner.make_program(2, [0])
    train_together(together, program, 2)
    for one, other in zip(together, alone, strict=True):
        assert_same(one, other)
        memory = other.oracle.memory()
        for name, values in one.oracle.memory().items():
            np.testing.assert_array_equal(values, memory[name], err_msg=name)
    # One program for both, and states that do not leave the device.
    assert [run.oracle.traces for run in together] == [1, 0]
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(owner._lane_state))


@pytest.mark.slow
@pytest.mark.games("kuhn")
def test_lanes_of_several_runs_in_one_call_are_the_runs_up_to_rounding(case: Any) -> None:
    """As on an accelerator."""
    alone, together = ([Run(case.tree, TINY, seed=seed) for seed in (0, 1)] for _ in range(2))
    for run in alone:
        run.train(1)
    program = LaneProgram(together[0].oracle.train_lane, jax.local_devices()[:1], 2, carries=True)
    train_together(together, program, 1)
    for one, other in zip(together, alone, strict=True):
        assert_same(one, other, tolerance=1e-3)


_ON_FOUR = """
import jax
jax.config.update("jax_disable_most_optimizations", True)
from acme_psro.games.compile import compile_game
from tests.acme_psro.neupl import sharing_test as parts

assert len(jax.local_devices()) == 4
tree = compile_game("kuhn_poker", cache=False)
alone, sharded = ([parts.Run(tree, parts.TINY, seed=seed) for seed in range(3)] for _ in range(2))
parts.train_together(alone, alone[0].oracle.make_program(3, [0]), 2)
program = sharded[0].oracle.make_program(3)
assert program.most_requests == 3
parts.train_together(sharded, program, 2)
for one, other in zip(sharded, alone, strict=True):
    parts.assert_same(one, other)
assert [run.oracle.traces for run in sharded] == [1, 0, 0]
print(len(program._sharding.device_set), "devices")
"""


@pytest.mark.slow
def test_runs_spread_over_four_devices_are_those_on_one() -> None:
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", _ON_FOUR], cwd=ROOT, env=os.environ | flags, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "3 devices"


_ONE_RUN_ON_FOUR = """
import re
import numpy as np
import jax
jax.config.update("jax_disable_most_optimizations", True)
from acme_psro.games.compile import compile_game
from tests.acme_psro.neupl import sharing_test as parts

tree = compile_game("kuhn_poker", cache=False)
alone, spread = (parts.Run(tree, parts.TINY, seed=3) for _ in range(2))
parts.train_together([alone], alone.oracle.make_program(1, [0]), 3)
program = spread.oracle.make_program(1, [0, 1, 2, 3])
lane = next(spread.oracle.ask(*spread.question()))
# Sixteen games of both players: each device plays four.
text = program.compile(lane).as_text()
assert "s32[2,4]" in text and "s32[2,16]" not in text.split("ENTRY")[0]
spread.oracle.traces = 0
parts.train_together([spread], program, 3)
memory = alone.oracle.memory()
for name, values in spread.oracle.memory().items():
    np.testing.assert_array_equal(values, memory[name], err_msg=name)
assert spread.oracle.traces <= 1
devices = {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(spread.oracle._lane_state)}
# What one run has learned on four devices goes on on one.
later = parts.Run(tree, parts.TINY, seed=3)
later.oracle.remember(spread.oracle.memory())
later.populations, later.payoffs, later.done = spread.populations, spread.payoffs, spread.done
for run, numbers in ((later, [0]), (alone, [0])):
    parts.train_together([run], run.oracle.make_program(1, numbers), 1)
parts.assert_same(later, alone)
print(devices)
"""


@pytest.mark.slow
def test_one_run_on_four_devices_is_bit_for_bit_that_on_one() -> None:
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", _ONE_RUN_ON_FOUR],
        cwd=ROOT,
        env=os.environ | flags,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "{4}"


def test_games_that_cannot_be_dealt_out_evenly_are_refused() -> None:
    devices = jax.local_devices() * 3
    with pytest.raises(
        ValueError, match=r"num_envs must be a multiple of the 3 devices .* not 16: change it"
    ):
        make_spread(devices, 16)


@pytest.mark.games("kuhn")
def test_devices_that_are_not_there_are_refused(case: Any) -> None:
    oracle = Run(case.tree, TINY).oracle
    for runs in (1, 2):
        with pytest.raises(ValueError, match="there is no device 9: this process has 0"):
            oracle.make_program(runs, [0, 9])

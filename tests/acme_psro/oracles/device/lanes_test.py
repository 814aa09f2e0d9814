"""Tests of acme_psro.oracles.device.lanes."""

import os
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.oracles.device import lanes
from acme_psro.oracles.device.lanes import Lane, LaneProgram
from acme_psro.system import cores
from tests.acme_psro.commands.launching import ROOT

_DEVICES = jax.local_devices()[:1]


def _walk(lane: Lane) -> dict[str, jax.Array]:
    """A random walk, whose every step depends on the key, the player and the material."""

    def step(place: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        place = jnp.tanh(place @ lane.material) + jax.random.normal(key, place.shape)
        return place, place.sum()

    keys = jax.random.split(jax.random.wrap_key_data(lane.key), 20)
    place, sums = jax.lax.scan(step, jnp.full(8, lane.player, jnp.float32), keys)
    return {"place": place, "sums": sums}


def _request(num: int, seed: int) -> Lane:
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**32, (num, 2), dtype=np.uint32)
    return Lane(keys, np.arange(num, dtype=np.int32), rng.normal(size=(num, 8, 8)).astype(np.float32))


def _assert_same(left: Any, right: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, left, right)


def _assert_close(left: Any, right: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), left, right)


def test_a_lane_is_the_function_alone() -> None:
    (found,) = LaneProgram(_walk, _DEVICES)([_request(3, 0)])
    key, player, material = _request(3, 0)
    for index in range(3):
        alone = jax.jit(_walk)(Lane(key[index], player[index], material[index]))
        for name, values in alone.items():
            np.testing.assert_allclose(found[name][index], values, rtol=1e-5)


def test_requests_in_one_call_get_what_each_gets_alone() -> None:
    requests = [_request(2, seed) for seed in range(3)]
    alone = LaneProgram(_walk, _DEVICES)
    together = LaneProgram(_walk, _DEVICES, most_requests=3)
    for found, request in zip(together(requests), requests, strict=True):
        _assert_same(found, alone([request])[0])


def test_missing_requests_are_filled_up_and_never_compiled_for() -> None:
    traces = []

    def traced(lane: Lane) -> Any:
        traces.append(lane)
        return _walk(lane)

    program = LaneProgram(traced, _DEVICES, most_requests=4)
    full = program([_request(2, seed) for seed in range(4)])
    for number in (1, 2, 3):
        _assert_same(program([_request(2, seed) for seed in range(number)]), full[:number])
    assert len(traces) == 1


@pytest.mark.parametrize("number", [0, 3])
def test_a_call_has_as_many_requests_as_agreed(number: int) -> None:
    program = LaneProgram(_walk, _DEVICES, most_requests=2)
    with pytest.raises(ValueError, match="a call takes 1 to 2 requests"):
        program([_request(2, seed) for seed in range(number)])


def test_runs_on_a_processor_are_calls_of_their_own_side_by_side() -> None:
    alone, together = (lanes.make_program(_walk, runs, [0]) for runs in (1, 100))
    assert (alone.most_requests, alone.parallel_calls) == (1, 1)
    assert (together.most_requests, together.parallel_calls) == (1, cores.count())
    _assert_same(alone([_request(2, 5)]), together([_request(2, 5)]))


def _count(lane: Lane) -> dict[str, Any]:
    """A walk that begins where the last one ended, with a branch that is taken now and then."""
    place, steps = lane.material["place"], lane.material["steps"] + 1
    noise = jax.random.normal(jax.random.wrap_key_data(lane.key), place.shape)
    place = jax.lax.cond(steps % 2 == 0, lambda: jnp.tanh(place + noise), lambda: place - 0.5 * noise)
    return {"place": place, "steps": steps}


def _carried(num: int, seed: int, material: Any) -> Lane:
    return _request(num, seed)._replace(material=material)


def _begin(num: int) -> dict[str, np.ndarray]:
    return {"place": np.zeros((num, 8), np.float32), "steps": np.zeros(num, np.int32)}


@pytest.mark.parametrize(("num", "requests"), [(1, 1), (2, 1), (1, 3)])
def test_states_that_are_carried_stay_on_the_device(num: int, requests: int) -> None:
    traces = []

    def traced(lane: Lane) -> Any:
        traces.append(lane)
        return _count(lane)

    carrying = LaneProgram(traced, _DEVICES, requests, carries=True)
    plain = LaneProgram(_count, _DEVICES)
    states = [_begin(num)] * requests
    expected = list(states)
    for step in range(3):
        states = carrying([_carried(num, 10 * step + i, state) for i, state in enumerate(states)])
        expected = [plain([_carried(num, 10 * step + i, state)])[0] for i, state in enumerate(expected)]
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(states))
        assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(expected))
    _assert_close(states, expected)
    assert len(traces) == 1


def test_a_lane_that_has_a_device_to_itself_is_not_vmapped() -> None:
    seen = []

    def noting(lane: Lane) -> Any:
        seen.append(type(lane.material["steps"]).__name__)
        return _count(lane)

    for num, carries in ((1, True), (2, True), (1, False)):
        LaneProgram(noting, _DEVICES, carries=carries)([_carried(num, 0, _begin(num))])
    assert ["Batch" in name for name in seen] == [False, True, True]


@pytest.mark.parametrize("numbers", [[len(jax.local_devices())], [-1], [0, 99]])
def test_devices_that_are_not_there_are_refused(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match=r"there is no device -?\d+: this process has 0"):
        lanes.find_devices(numbers)


def test_devices_are_named_once_and_at_all() -> None:
    with pytest.raises(ValueError, match="names a device twice: 0,0"):
        lanes.find_devices([0, 0])
    with pytest.raises(ValueError, match="names no device"):
        lanes.find_devices([])
    assert lanes.find_devices(None) == jax.local_devices()
    assert lanes.find_devices([0]) == _DEVICES


_ON_FOUR = """
import jax, numpy as np
from acme_psro.oracles.device import lanes
from tests.acme_psro.oracles.device import lanes_test as parts

assert len(jax.local_devices()) == 4
one = lanes.LaneProgram(parts._walk, jax.local_devices()[:1])
requests = [parts._request(2, seed) for seed in range(3)]
alone = [one([request])[0] for request in requests]
used = []
place = lanes.LaneProgram._place

def noting(self, requests, num):
    placed = place(self, requests, num)
    used.append(sorted(device.id for device in placed.player.devices()))
    assert len({shard.data.shape for shard in placed.player.addressable_shards}) == 1
    return placed

lanes.LaneProgram._place = noting
for runs, numbers, devices in (
    (1, None, [0, 1]), (3, None, [0, 1, 2, 3]), (3, [1, 3], [1, 3]), (1, [0, 2], [0, 2])
):
    program = lanes.make_program(parts._walk, runs, numbers)
    parts._assert_same(program(requests[:runs]), alone[:runs])
    parts._assert_same(program(requests[:1]), alone[:1])
    assert used[-1] == devices, used
for runs, numbers, devices in ((3, None, [0, 1, 2]), (1, [3], [3]), (3, [1, 2], [1, 2])):
    plain = jax.jit(jax.vmap(parts._count))
    program = lanes.make_program(parts._count, runs, numbers, carries=True)
    states = expected = [parts._begin(1)] * runs
    for step in range(2):
        given = [[parts._carried(1, step + i, s) for i, s in enumerate(each)] for each in (states, expected)]
        states, expected = program(given[0]), [plain(request) for request in given[1]]
    parts._assert_close(states, expected)
    if runs == 1:
        assert [device.id for device in states[0]["place"].devices()] == devices
    else:
        assert used[-1] == devices, used
one = lanes.make_program(parts._walk, 1, [2])
parts._assert_same(one(requests[:1]), alone[:1])
assert used[-1] == [2], used
try:
    lanes.find_devices([4])
except ValueError as error:
    print(error)
"""


def test_lanes_spread_over_four_devices_are_those_of_one() -> None:
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", _ON_FOUR], cwd=ROOT, env=os.environ | flags, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "there is no device 4: this process has 0 to 3 (cpu)."

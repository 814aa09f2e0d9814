"""Tests of acme_psro.oracles.device.lanes_alone: each lane is a call of its own, however many there are."""

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.oracles.asking import Program
from acme_psro.oracles.device.lanes import Lane, LaneProgram
from acme_psro.oracles.device.lanes_alone import LanesAlone, cut, join


def _multiply(lane: Lane) -> dict[str, jax.Array]:
    drawn = jax.random.normal(jax.random.wrap_key_data(lane.key), (8, 8))
    return {"product": jnp.tanh(drawn @ lane.material) @ lane.material, "player": lane.player}


def _request(num: int, seed: int) -> Lane:
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**32, (num, 2), dtype=np.uint32)
    return Lane(keys, np.arange(num, dtype=np.int32), rng.normal(size=(num, 8, 8)).astype(np.float32))


def test_lanes_have_the_bytes_that_each_has_alone() -> None:
    alone = LaneProgram(_multiply, jax.local_devices()[:1])
    program: Program = LanesAlone(alone, runs=2)
    requests = [_request(3, 0), _request(2, 1)]
    found = program(requests)
    assert (program.most_requests, program.parallel_calls) == (1, 2)
    for request, results in zip(requests, found, strict=True):
        assert results["player"].tolist() == request.player.tolist()
        for index, lane in enumerate(cut(request)):
            (expected,) = alone([lane])
            assert results["product"][index].tobytes() == np.asarray(expected["product"])[0].tobytes()


def test_what_is_cut_is_joined_again() -> None:
    request = _request(4, 2)
    assert [len(part.player) for part in cut(request)] == [1, 1, 1, 1]
    jax.tree.map(np.testing.assert_array_equal, join(cut(request)), request)

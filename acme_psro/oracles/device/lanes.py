"""Lanes: one pure function for many keys, players and opponents, compiled once and spread over devices.

Every lane is alone in what it computes, so that a training gives the same numbers beside any others. With
another number of lanes in a call, XLA compiles other code, which may round differently in the last bit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from acme_psro.system import cores

_AXIS = "lanes"


class Lane(NamedTuple):
    """Input of one training; several of them, side by side, have an axis `[L]` in front.

    Attributes:
      key: `[2]` uint32, the raw bits of its random key.
      player: `[]` int32, the player who learns.
      material: nested arrays that the player learns from or plays against.
    """

    key: Any
    player: Any
    material: Any


# One lane, traced -> nested arrays. It must be pure.
LaneFunction = Callable[[Lane], Any]


def find_devices(numbers: Sequence[int] | None) -> list[jax.Device]:
    """Returns this process's devices with these numbers, or all of them.

    Args:
      numbers: positions among the local devices, each at most once; None for all.

    Raises:
      ValueError: there is no such device, or one is named twice.
    """
    devices = jax.local_devices()
    if numbers is None:
        return devices
    missing = [number for number in numbers if not 0 <= number < len(devices)]
    if missing or not numbers:
        there = "0 only" if len(devices) == 1 else f"0 to {len(devices) - 1}"
        wrong = f"there is no device {missing[0]}" if missing else "--devices names no device"
        raise ValueError(f"{wrong}: this process has {there} ({devices[0].device_kind}).")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"--devices names a device twice: {','.join(map(str, numbers))}.")
    return [devices[number] for number in numbers]


class LaneProgram:
    """A function of lanes, compiled at its first call, see `acme_psro.oracles.asking.Program`.

    Args:
      function: the pure function of one lane.
      devices: the devices over which lanes are spread evenly. Missing lanes are filled with copies.
      most_requests: the largest number of requests in one call.
      parallel_calls: the number of calls that may run at the same time.
      carries: True if lanes carry large states from one call to the next. On one device, results then stay
        there, as arrays of JAX, and requests are joined there. A lane that has a device to itself is not
        vmapped, so that its states are written in place and only one branch of a condition is computed.
    """

    def __init__(
        self,
        function: LaneFunction,
        devices: Sequence[jax.Device],
        most_requests: int = 1,
        parallel_calls: int = 1,
        carries: bool = False,
    ) -> None:
        self.most_requests, self.parallel_calls = most_requests, parallel_calls
        self._function, self._devices, self._carries = function, list(devices), carries
        # Calls may come from several threads, and compiling takes long enough to do it only once.
        self._compiling = threading.Lock()
        self._compiled: jax.stages.Compiled | None = None
        self._sharding: Any = None

    @property
    def is_on_processor(self) -> bool:
        """True if lanes are computed by the processor, on which XLA uses one core for such a program."""
        return len(self._devices) == 1 and self._devices[0].platform == "cpu"

    def __call__(self, requests: Sequence[Lane]) -> list[Any]:
        """Returns arrays `[L, ..]` for each request of `L` lanes: NumPy's, unless results stay on a device.

        Raises:
          ValueError: there are too many requests, or none.
        """
        if not 0 < len(requests) <= self.most_requests:
            raise ValueError(f"a call takes 1 to {self.most_requests} requests, not {len(requests)}.")
        num = len(requests[0].player)
        # With another number of lanes the program would be compiled again.
        padded = [*requests, *[requests[-1]] * (self.most_requests - len(requests))]
        used = self._devices[: num * self.most_requests]
        stays = self._carries and len(used) == 1
        placed = _put(padded, used[0]) if stays else self._place(padded, num)
        with self._compiling:
            if self._compiled is None:
                self._compiled = self._compile(placed, num, stays)
        results = self._compiled(placed)
        if stays:
            # The caller's thread must not wait for what this one is here to wait for.
            return list(jax.block_until_ready(results)[: len(requests)])
        results = jax.tree.map(np.asarray, results)
        return [_cut(results, num * index, num) for index in range(len(requests))]

    def _place(self, padded: Sequence[Lane], num: int) -> Lane:
        """Returns the lanes of all requests, as many in every call, on their devices."""
        lanes = padded[0] if len(padded) == 1 else jax.tree.map(_concatenate, *padded)
        total = num * self.most_requests
        used = self._devices[:total]
        if len(used) == 1 and used == jax.local_devices()[:1]:
            # The default device needs no placing.
            return lanes
        # Rounded up so that every device has as many.
        places = np.arange(-(-total // len(used)) * len(used)) % total
        mesh = Mesh(np.array(used), (_AXIS,))
        self._sharding = NamedSharding(mesh, PartitionSpec(_AXIS))
        spread: Lane = jax.device_put(
            jax.tree.map(lambda leaf: np.asarray(leaf)[places], lanes), self._sharding
        )
        return spread

    def _compile(self, placed: Any, num: int, stays: bool) -> jax.stages.Compiled:
        """Returns the program of lanes, or of a list of requests of `num` lanes if results stay."""
        total = num * self.most_requests
        has_device = self._carries and total <= len(self._devices)
        function = _of_one(self._function) if has_device else jax.vmap(self._function)
        if stays:
            function = _of_requests(function, num)
        elif self._sharding is not None:
            # Lanes never exchange anything. Said so, the compiler need not find out, and each device gets the
            # program of its own lanes.
            spec = self._sharding.spec
            function = jax.shard_map(
                function, mesh=self._sharding.mesh, in_specs=spec, out_specs=spec, check_vma=False
            )
        return jax.jit(function).lower(placed).compile()


def make_program(
    function: LaneFunction, runs: int = 1, devices: Sequence[int] | None = None, carries: bool = False
) -> LaneProgram:
    """Returns a program for the lanes of some runs, arranged as suits the devices.

    On one processor, XLA uses one core for such a program, and lanes that are vmapped take nearly as long as
    one after the other. Each run's lanes are then a call of their own, and there are as many calls at a time
    as cores. Everywhere else, the lanes of all runs are vmapped and spread over the devices.

    Args:
      function: the pure function of one lane.
      runs: the number of runs that share the program.
      devices: numbers of local devices; None for all.
      carries: True if lanes carry large states from one call to the next, see `LaneProgram`.

    Raises:
      ValueError: there is no such device.
    """
    found = find_devices(devices)
    if len(found) == 1 and found[0].platform == "cpu":
        return LaneProgram(function, found, 1, max(1, min(runs, cores.count())), carries)
    return LaneProgram(function, found, runs, 1, carries)


def _of_one(function: LaneFunction) -> Callable[[Lane], Any]:
    """Returns the function of lanes `[1, ..]`, without vmapping it."""

    def of_one(lanes: Lane) -> Any:
        results = function(jax.tree.map(lambda leaf: leaf[0], lanes))
        return jax.tree.map(lambda leaf: leaf[None], results)

    return of_one


def _of_requests(function: Callable[[Lane], Any], num: int) -> Callable[[Sequence[Lane]], list[Any]]:
    """Returns the function of requests of `num` lanes each, which are joined for one of all lanes."""

    def of_requests(requests: Sequence[Lane]) -> list[Any]:
        joined = requests[0] if len(requests) == 1 else jax.tree.map(_join, *requests)
        results = function(joined)
        return [_cut(results, num * index, num) for index in range(len(requests))]

    return of_requests


def _put(requests: list[Lane], device: jax.Device) -> list[Lane]:
    """Returns the requests on a device; what is there already is not copied."""
    # The default device needs no placing.
    placed: list[Lane] = requests if device == jax.local_devices()[0] else jax.device_put(requests, device)
    return placed


def _join(*leaves: Any) -> jax.Array:
    return jnp.concatenate(leaves)


def _concatenate(*leaves: Any) -> np.ndarray:
    return np.concatenate([np.asarray(leaf) for leaf in leaves])


def _cut(results: Any, first: int, num: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[first : first + num], results)

"""One run of NeuPL on several devices: its games and its members' tables are spread, its network is not.

Games are dealt out to the devices, and so are the information states at which members' policies are computed.
Random numbers are those of one device, as JAX generates each number from its place alone. Every device then
takes the same gradient steps, so that none waits for the gradients of others and nothing is summed up in
another order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from acme_psro.oracles.device.lanes import Lane

_AXIS = "games"


class Spread(NamedTuple):
    """Devices over which the rows of arrays are spread.

    Attributes:
      mesh: the devices, in one axis.
    """

    mesh: Mesh

    @property
    def size(self) -> int:
        """The number of devices."""
        return int(self.mesh.size)

    @property
    def everywhere(self) -> NamedSharding:
        """The sharding of arrays of which each device holds all."""
        return NamedSharding(self.mesh, PartitionSpec())

    def rows(self, tree: Any) -> Any:
        """Returns nested arrays `[n, ..]`, each device with `n / size` rows."""
        return jax.lax.with_sharding_constraint(tree, NamedSharding(self.mesh, PartitionSpec(_AXIS)))

    def whole(self, tree: Any) -> Any:
        """Returns nested arrays of which each device holds all."""
        return jax.lax.with_sharding_constraint(tree, self.everywhere)


def make_spread(devices: Sequence[jax.Device], num_envs: int) -> Spread:
    """Returns the devices among which a player's games are dealt out evenly.

    Raises:
      ValueError: `num_envs` is no multiple of their number.
    """
    if num_envs % len(devices):
        raise ValueError(
            f"neupl.num_envs must be a multiple of the {len(devices)} devices that share a run's games, not "
            f"{num_envs}: change it, or name other --devices."
        )
    return Spread(Mesh(np.array(devices), (_AXIS,)))


class SpreadProgram:
    """A program for the only lane of a run, see `acme_psro.oracles.asking.Program`.

    The lane's state stays on the devices from one call to the next.

    Args:
      function: the pure function of a lane, which spreads its games by `spread`.
      spread: the devices.
    """

    most_requests = 1
    parallel_calls = 1

    def __init__(self, function: Callable[[Lane], Any], spread: Spread) -> None:
        self._spread = spread
        self._run = jax.jit(functools.partial(_of_one, function), out_shardings=spread.everywhere)

    def compile(self, lane: Lane) -> jax.stages.Compiled:
        """Returns the compiled function for lanes like this one `[1, ..]`."""
        return self._run.lower(jax.device_put(lane, self._spread.everywhere)).compile()

    def __call__(self, requests: Sequence[Lane]) -> list[Any]:
        """Returns arrays `[1, ..]` for the only request of one lane.

        Raises:
          ValueError: there are more requests, or none.
        """
        if len(requests) != 1:
            raise ValueError(f"a call takes 1 request, not {len(requests)}.")
        placed = jax.device_put(requests[0], self._spread.everywhere)
        return [jax.block_until_ready(self._run(placed))]


def _of_one(function: Callable[[Lane], Any], lane: Lane) -> Any:
    """Returns the results `[1, ..]` of a lane `[1, ..]`, without vmapping the function."""
    results = function(jax.tree.map(lambda leaf: leaf[0], lane))
    return jax.tree.map(lambda leaf: leaf[None], results)

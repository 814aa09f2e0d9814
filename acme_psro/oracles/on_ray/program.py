"""A program whose lanes are computed by workers on a Ray cluster.

Every request is computed whole by one worker, with the very program that a single machine would use, unless
each of its lanes is to be computed alone. So a run's numbers do not depend on the number of nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from acme_psro.oracles.asking import Lanes, Program, Results
from acme_psro.oracles.on_ray import parcels
from acme_psro.oracles.on_ray.parcels import Parcel
from acme_psro.system.executors import cluster
from acme_psro.system.executors.placing import Placing
from acme_psro.system.executors.worker_pool import WorkerPool

# (configuration of a run in JSON's types, game as bytes) -> the program that a worker runs.
MakeProgram = Callable[[Mapping[str, Any], bytes], Program]


class ClusterProgram:
    """A program over workers of a cluster, see `acme_psro.oracles.asking.Program`; to be closed.

    Args:
      placing: the cluster, and what each worker takes of it.
      make: a module's function that makes the program in a worker's process.
      config: its argument, the configuration of a run.
      game: its other argument, which travels to each node once.
      runs: the number of runs that share the program.
      lanes: the number of lanes of a request if each of them is computed alone; 0 if requests stay whole.

    Raises:
      ValueError: the cluster is not found, or has no room for a worker.
    """

    most_requests = 1

    def __init__(
        self,
        placing: Placing,
        make: MakeProgram,
        config: Mapping[str, Any],
        game: bytes,
        runs: int = 1,
        lanes: int = 0,
    ) -> None:
        cluster.connect(placing)
        # The pool knows how many workers there are, and requests wait there.
        self.parallel_calls, self._divides = runs, lanes > 0
        self._pool = WorkerPool(placing, answering, (make, dict(config), game))
        # Workers import and prepare while the runs compute their first payoffs.
        self._pool.start(runs * max(1, lanes))

    def __call__(self, requests: Sequence[Lanes]) -> list[Results]:
        """Returns the results of the requests.

        Raises:
          WorkersLostError: workers were lost too often.
        """
        from acme_psro.oracles.device import lanes_alone

        whole = [lanes_alone.cut(request) if self._divides else [request] for request in requests]
        answers = [[self._pool.submit(parcels.pack(part)) for part in parts] for parts in whole]
        found = [[parcels.unpack(answer.result()) for answer in parts] for parts in answers]
        return [lanes_alone.join(parts) if self._divides else parts[0] for parts in found]

    def describe(self) -> list[str]:
        """Returns lines on the workers, for the display."""
        return self._pool.describe()

    def close(self) -> None:
        """Ends the workers."""
        self._pool.close()


def answering(make: MakeProgram, config: Mapping[str, Any], game: bytes) -> Callable[[Parcel], Parcel]:
    """Returns the function by which a worker answers parcels, with a program that is compiled once."""
    program = make(config, game)

    def answer(parcel: Parcel) -> Parcel:
        (results,) = program([parcels.unpack(parcel)])
        return parcels.pack(results)

    return answer

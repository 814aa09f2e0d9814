"""Ray clusters of several logical nodes on this machine, for tests.

A test module that needs one has a fixture of its own, so that a cluster lives no longer than the module:

    @pytest.fixture(scope="module")
    def nodes():
        with ray_nodes.cluster(num_nodes=3) as found:
            yield found
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from acme_psro.system.executors import cluster as connection
from acme_psro.system.executors.placing import Placing

ray = pytest.importorskip("ray")


@dataclasses.dataclass
class Nodes:
    """A cluster of this process, to which this process is connected.

    Attributes:
      cluster: Ray's own object, which adds and removes nodes.
      workers: the nodes that carry out jobs, without the head.
    """

    cluster: Any
    workers: list[Any]

    @property
    def address(self) -> str:
        """The cluster's address, for `--ray_address`."""
        return self.cluster.address

    def placing(self, **options: Any) -> Placing:
        """Returns the placing of jobs on this cluster."""
        return Placing(executor="ray", ray_address=self.address, **options)

    def add(self, num_cpus: int = 1, **options: Any) -> Any:
        """Adds a node and waits until it is ready."""
        self.workers.append(self.cluster.add_node(num_cpus=num_cpus, **options))
        self.cluster.wait_for_nodes()
        return self.workers[-1]

    def remove(self, node: Any) -> None:
        """Kills a node, as if its machine were lost."""
        self.workers.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)


@contextlib.contextmanager
def cluster(num_nodes: int = 1, num_cpus: int = 1, connect: bool = True, **options: Any) -> Iterator[Nodes]:
    """Context manager that starts a cluster and connects this process to it, if it is asked to.

    The head has no CPUs, so that any node with jobs can be removed.

    Args:
      num_nodes: number of nodes that carry out jobs.
      num_cpus: CPU cores that each of them offers, whatever the machine has.
      connect: True if this process is to be connected to the cluster.
      options: further arguments of Ray's `add_node`, for these nodes.
    """
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        for name, value in _QUIET.items():
            patch.setenv(name, value)
        # Programs of the nodes inherit what is set here, and must not look for the tests' own cluster.
        patch.delenv("RAY_ADDRESS", raising=False)
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _STORE_BYTES}
        started = Cluster(initialize_head=True, head_node_args=head)
        nodes = Nodes(started, [])
        try:
            if connect:
                # A process joins any node of its machine, and ends with it. As yet, there is the head alone.
                ray.init(address=nodes.address, log_to_driver=False, logging_level=logging.ERROR)
            for _ in range(num_nodes):
                nodes.workers.append(
                    started.add_node(num_cpus=num_cpus, object_store_memory=_STORE_BYTES, **options)
                )
            if connect:
                connection.connect(nodes.placing())
            yield nodes
        finally:
            connection.disconnect()
            started.shutdown()


# Nothing is reported to Ray's makers, lost nodes are noticed within seconds, and workers do not stand back
# behind all other processes of the machine.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_worker_niceness": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_initial_delay_ms": "1000",
}
_STORE_BYTES = 100 * 2**20

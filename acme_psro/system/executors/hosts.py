"""Places of jobs on the nodes of a Ray cluster, and the actors that carry them out there.

The start of an actor's process takes longer than a short job, so the actors, called hosts, take nothing of
the cluster, and one that has carried out its job waits for another one on its node. What a job takes is a
place: a placement group, which needs no process and is given back at the job's end. Ray tells the GPUs of a
place to processes alone that start in it, so a job with GPUs has a host of its own.

All hosts and places end with this process. Ray is imported by the functions alone.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from acme_psro.system.executors import losses
from acme_psro.system.executors.host import Host
from acme_psro.system.executors.placing import Placing

# A host reports, is asked to end and ends its job by calls that overlap.
_CALLS_AT_ONCE = 4
# If there is room, a place is there in hundredths of a second.
_PLACE_SECONDS = 0.2
# Hosts without a job, by node.
_idle: dict[str, list[Any]] = defaultdict(list)


class Place:
    """A job's share of some node, from now on or as soon as a node has room.

    Args:
      placing: what it takes.

    Attributes:
      host: the actor that carries out the job; None until `find_host` has returned True.
      is_used: True if the host has carried out a job before.
    """

    def __init__(self, placing: Placing) -> None:
        from ray.util.placement_group import placement_group

        self._gpus = placing.gpus_per_response
        bundle = {"CPU": placing.cpus_per_response} | ({"GPU": self._gpus} if self._gpus else {})
        self._group, self._bundle = placement_group([bundle]), bundle
        self._group.wait(_PLACE_SECONDS)
        self._node = ""
        self.host: Any = None
        self.is_used = False

    def find_host(self) -> bool:
        """Returns True once there is a node, with a host on it."""
        from ray.util.placement_group import placement_group_table

        if self.host is None:
            about = placement_group_table(self._group)
            if about["state"] == "CREATED":
                self._node = about["bundles_to_node_id"][0]
                self._take_host()
        return self.host is not None

    def replace_host(self) -> None:
        """Starts another host on the same node, because the one that had waited there is gone."""
        self.host = _start(self._node)
        self.is_used = False

    def leave(self, is_healthy: bool) -> None:
        """Gives the place back.

        Args:
          is_healthy: True if the host can carry out other jobs.
        """
        import ray
        from ray.util.placement_group import remove_placement_group

        with losses.tolerated():
            if self.host is not None and is_healthy and not self._gpus:
                _idle[self._node].append(self.host)
            elif self.host is not None:
                ray.kill(self.host)
            remove_placement_group(self._group)
        self.host = None

    def _take_host(self) -> None:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        if self._gpus:
            inside = PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=0)
            options = {"num_cpus": self._bundle["CPU"], "num_gpus": self._gpus}
            self.host = _make(scheduling_strategy=inside, **options)
        elif _idle[self._node]:
            self.host, self.is_used = _idle[self._node].pop(), True
        else:
            self.host = _start(self._node)


def forget() -> None:
    """Forgets all hosts without a job, which end with the connection to the cluster."""
    _idle.clear()


def _start(node: str) -> Any:
    """Starts a host that takes nothing of its node."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return _make(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))


def _make(**options: Any) -> Any:
    import ray

    return ray.remote(Host).options(max_concurrency=_CALLS_AT_ONCE, **options).remote()

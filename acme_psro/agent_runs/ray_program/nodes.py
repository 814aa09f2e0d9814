"""Places of a program's parts on a Ray cluster, which may be one that only this program has.

Ray is imported by the functions alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from acme_psro.agent_runs import installed, placement
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.placement import ON_CPU
from acme_psro.system.executors.placing import Placing

# Shared memory of a Ray of this machine's own, in bytes. Only a few messages are under way at any time.
_OBJECT_STORE_BYTES = 256 * 2**20
# Longest path of a directory in which Ray can make its sockets: their names must have less than 108 bytes.
_LONGEST_PLACE = 40
# Calls of the learner that may wait at the same time, beside one of each actor.
_CALLS = 8


class Nodes:
    """Places of the parts of one program.

    Args:
      config: configuration of the run.
      placing: what the learner takes of the cluster; every actor takes one core.
      has_own_ray: True if the cluster is only this program's.
    """

    def __init__(self, config: AgentRunConfig, placing: Placing, has_own_ray: bool) -> None:
        import ray
        from ray.util.placement_group import placement_group

        learner = {"CPU": placing.cpus_per_response}
        if placing.gpus_per_response:
            learner["GPU"] = placing.gpus_per_response
        bundles = [learner, *({"CPU": 1.0} for _ in range(config.num_actors))]
        if not has_own_ray:
            _check_room(bundles, ray.cluster_resources())
        self._ray = ray
        self._config = config
        self._learner = {"num_cpus": learner["CPU"], "num_gpus": placing.gpus_per_response}
        # Ray hides devices from what asks for none. On this machine, the learner uses what JAX finds.
        self._learner_environment = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}
        if not has_own_ray:
            shares = placement.environment("", placing.jobs_per_gpu)
            self._learner_environment = shares if placing.gpus_per_response else {"JAX_PLATFORMS": "cpu"}
        # All parts or none have a place, so that programs side by side never wait for each other for ever.
        self._group = placement_group(bundles, strategy="PACK")

    def start_learner(self, cls: type, *arguments: Any) -> Any:
        """Starts the learner and returns its handle."""
        calls = {"max_concurrency": 2 * self._config.num_actors + _CALLS}
        return self._start(cls, 0, self._learner_environment, {**self._learner, **calls}, arguments)

    def start_actor(self, cls: type, number: int, *arguments: Any) -> Any:
        """Starts an actor in its place, as soon as there is one, and returns its handle."""
        return self._start(cls, 1 + number, ON_CPU, {"num_cpus": 1.0}, arguments)

    def start_evaluator(self, cls: type, *arguments: Any) -> Any:
        """Starts the evaluator anywhere and returns its handle. It works seldom, and takes no core."""
        remote = self._ray.remote(cls).options(num_cpus=0, runtime_env={"env_vars": ON_CPU})
        return remote.remote(*arguments)

    def close(self) -> None:
        """Ends all parts that have a place, and gives the places back."""
        from ray.util.placement_group import remove_placement_group

        remove_placement_group(self._group)

    def _start(
        self,
        cls: type,
        place: int,
        environment: Mapping[str, str],
        options: Mapping[str, Any],
        arguments: tuple[Any, ...],
    ) -> Any:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        where = PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=place)
        remote = self._ray.remote(cls).options(
            scheduling_strategy=where, runtime_env={"env_vars": dict(environment)}, **options
        )
        return remote.remote(*arguments)


@contextlib.contextmanager
def connected(config: AgentRunConfig, placing: Placing) -> Iterator[Nodes]:
    """Connects this process to the cluster, or to a Ray of its own, and provides the program's places.

    Args:
      config: configuration of the run.
      placing: the cluster. If no cluster is asked for, a Ray of this machine's own is started, and ended at
        the end of the context.

    Raises:
      ValueError: Ray is not installed, the cluster does not answer, or it has no room for the program.
    """
    installed.check_programs("ray")
    has_own_ray = not placing.is_remote
    import ray

    if has_own_ray:
        _start_own(placing.cpus_per_response + config.num_actors)
    else:
        from acme_psro.system.executors import cluster

        cluster.connect(placing)
    nodes = Nodes(config, placing, has_own_ray)
    try:
        yield nodes
    finally:
        with contextlib.suppress(Exception):
            nodes.close()
        ray.shutdown()


def _start_own(cpus: float) -> None:
    """Starts a Ray of this machine's own, which ends with this process."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    place = tempfile.gettempdir()
    ray.init(
        address="local",
        num_cpus=int(-(-cpus // 1)),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=_OBJECT_STORE_BYTES,
        # The process that started this one removes the directory for temporary files.
        _temp_dir=place if len(place.encode()) <= _LONGEST_PLACE else None,
    )


def _check_room(bundles: list[dict[str, float]], resources: Mapping[str, float]) -> None:
    """Checks that the whole cluster has room for a program.

    Raises:
      ValueError: it has not.
    """
    for kind in ("CPU", "GPU"):
        needed, has = sum(bundle.get(kind, 0.0) for bundle in bundles), resources.get(kind, 0.0)
        if needed > has:
            raise ValueError(
                f"a program of a learner and {len(bundles) - 1} actors needs {needed:g} {kind}s, and the Ray "
                f"cluster has {has:g}: give fewer --actors_per_response, or less --cpus_per_response and "
                "--gpus_per_response."
            )

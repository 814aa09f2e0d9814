"""Choice of the executor that a placing names."""

from __future__ import annotations

from acme_psro.system.executors.base import Executor
from acme_psro.system.executors.local import LocalExecutor
from acme_psro.system.executors.placing import Placing


def make_executor(placing: Placing) -> Executor:
    """Returns the executor of a run's jobs.

    Args:
      placing: the machines on which jobs are carried out.

    Raises:
      ValueError: the cluster cannot be used, see `acme_psro.system.executors.cluster.connect`.
    """
    if not placing.is_remote:
        return LocalExecutor()
    from acme_psro.system.executors import cluster
    from acme_psro.system.executors.on_ray import RayExecutor

    cluster.connect(placing)
    return RayExecutor(placing)

"""Choice of the workers that simulate a run's payoffs, on this machine or on a cluster."""

from __future__ import annotations

from acme_psro.meta_game import workers
from acme_psro.meta_game.sampled import SimulationConfig
from acme_psro.meta_game.simulators import Simulator
from acme_psro.policies import decoders
from acme_psro.population_runs.config import PSROConfig
from acme_psro.system.executors.placing import Placing


def make_simulator(config: PSROConfig, placing: Placing) -> Simulator:
    """Returns the workers that simulate payoffs; none is started yet.

    Args:
      config: the run's configuration.
      placing: the machines on which they are. On a cluster there are as many as it has room for, unless the
        configuration has a number of its own.

    Raises:
      ValueError: a setting is not allowed, or the cluster is not found.
    """
    settings = SimulationConfig(**config.simulation)
    if not placing.is_remote:
        return workers.Workers(settings.payoff_workers, decoders.DECODERS)
    from acme_psro.meta_game.cluster_workers import ClusterWorkers

    return ClusterWorkers(placing, config.simulation.get("payoff_workers"), decoders.DECODERS)

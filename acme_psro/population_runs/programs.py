"""Programs that answer what the oracles of runs ask for, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from acme_psro.games import packing
from acme_psro.games.graph import GameGraph
from acme_psro.games.tree import GameTree
from acme_psro.oracles.asking import AskingOracle, Program, RemoteProgram
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.config import PSROConfig
from acme_psro.system import own_modules
from acme_psro.system.executors.placing import LOCAL, Placing

# The name under which a configuration on its way holds the user's own modules.
_MODULES = "import_modules"


@contextlib.contextmanager
def opened_program(
    runs: Sequence[PopulationRun[Any, Any]],
    devices: Sequence[int] | None = None,
    placing: Placing = LOCAL,
) -> Iterator[Program | None]:
    """Context manager that provides the program of runs, and gives it to them; None if they ask for nothing.

    Args:
      runs: runs that differ in their seeds only.
      devices: numbers of the local devices on which it runs; None for all.
      placing: the machines on which it runs.

    Raises:
      ValueError: there is no such device, or the cluster cannot be used.
    """
    oracle = runs[0].oracle
    if not isinstance(oracle, AskingOracle):
        yield None
        return
    program: Program
    if placing.is_remote:
        program = _make_cluster_program(runs, devices, placing)
    else:
        program = oracle.make_program(len(runs), devices)
    for run in runs:
        run.program = program
    try:
        yield program
    finally:
        if isinstance(program, RemoteProgram):
            program.close()


def check_devices(devices: Sequence[int] | None, placing: Placing) -> None:
    """Checks that no devices of this machine are named for work that is carried out elsewhere.

    Raises:
      ValueError: there are.
    """
    if devices is not None and placing.is_remote:
        raise ValueError(
            "--devices counts devices of this machine: with --executor=ray, give --gpus_per_response."
        )


def _make_cluster_program(
    runs: Sequence[PopulationRun[Any, Any]], devices: Sequence[int] | None, placing: Placing
) -> RemoteProgram:
    first = runs[0]
    check_devices(devices, placing)
    assert first.compiled is not None, "oracles ask for lanes in compiled games"
    from acme_psro.oracles.on_ray.program import ClusterProgram

    config = {**first.config.to_json(), _MODULES: os.environ.get(own_modules.VARIABLE)}
    lanes = 0
    if first.config.device.get("lanes_alone"):
        # A training of each player's response, for each seed of it.
        lanes = first.compiled.num_players * int(first.config.device.get("seeds_per_response", 1))
    game = packing.pack(first.compiled)
    return ClusterProgram(placing, make_lane_program, config, game, len(runs), lanes)


def make_lane_program(config: Mapping[str, Any], game: bytes) -> Program:
    """Returns the program of a run's oracle, in the process of a worker.

    Args:
      config: the run's configuration as `PSROConfig.to_json` returns it, with the user's own modules.
      game: the compiled game, see `acme_psro.games.packing`.

    Raises:
      ValueError: the game was altered on its way, or a module of the user's own is not found here.
    """
    settings = dict(config)
    if modules := settings.pop(_MODULES):
        os.environ[own_modules.VARIABLE] = modules
        own_modules.import_inherited()
    oracle = _make_oracle(PSROConfig(**settings), packing.unpack(game))
    assert isinstance(oracle, AskingOracle), "only such oracles are asked for on a cluster"
    return oracle.make_program()


def _make_oracle(config: PSROConfig, game: GameTree | GameGraph) -> object:
    from acme_psro.population_runs import oracles

    if isinstance(game, GameTree):
        # Nothing is written by an oracle that asks for lanes, and nothing is said twice.
        return oracles.prepare_oracle(config, Path(), lambda line: None)(game)
    return oracles.prepare_graph_oracle(config, game)

"""Populations of NeuPL as files: the network once, with the rows and the payoffs of all members.

    population.npz                the newest population, written whole after each epoch; it names the files of
                                  fixed members, see `acme_psro.agent_runs.neupl_program.frozen`
    policies/player_P_KKKKK.npz   its members as stored policies, written when the program ends

Dimensions: `P` = 2 players, `N` members.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from acme_psro.agent_runs.neupl_program import frozen
from acme_psro.agent_runs.neupl_program.members import make_contexts
from acme_psro.oracles.base import NO_WORK, Counts
from acme_psro.policies import decoders, stored
from acme_psro.policies.stored import PolicyFile, StoredPolicy, StoredPolicyError

_KIND = "neupl_population"
_VARIABLE = "variables/"


class NeuPLPopulation(NamedTuple):
    """All members of both players after an epoch.

    Attributes:
      epoch: the number of epochs so far.
      about: description of the network, see `acme_psro.policies.networks.about_network`, without a context.
      variables: the network's arrays by name.
      graph: `[P, N, N]`, the rows that the members learned to respond to.
      payoffs: `[P, N, N]`, those that the next graph is made from, estimated or exact, in utility units.
      counts: the work done so far, evaluation games included.
      evaluation_games: the number of those among them from which payoffs are estimated.
      sinks: the sinks' policies by player; those of other players play uniformly.
      fixed: the files of members that do not change any more, by player and index.
    """

    epoch: int
    about: dict[str, Any]
    variables: dict[str, np.ndarray]
    graph: np.ndarray
    payoffs: np.ndarray
    counts: Counts = NO_WORK
    evaluation_games: int = 0
    sinks: Mapping[int, StoredPolicy] = MappingProxyType({})
    fixed: Mapping[tuple[int, int], PolicyFile] = MappingProxyType({})

    @property
    def num_frozen(self) -> int:
        """The number of members that do not change any more, of the player who has fewer; the sink counts."""
        return 1 + min(sum(each == player for each, _ in self.fixed) for player in range(2))


def exists(directory: Path) -> bool:
    """Returns True if the program in a directory has stored a population."""
    return _file(directory).is_file()


def write(directory: Path, population: NeuPLPopulation) -> None:
    """Writes a population, whole or not at all."""
    about = {"kind": _KIND, "epoch": population.epoch, "network": population.about}
    # Of both players, but every stored policy names one.
    about |= {"game": population.about["game"], "player": 0, "counts": dataclasses.asdict(population.counts)}
    about["evaluation_games"] = population.evaluation_games
    arrays = {_VARIABLE + name: array for name, array in population.variables.items()}
    arrays |= {"graph": population.graph, "payoffs": population.payoffs}
    about["sinks"] = {str(player): sink.about for player, sink in population.sinks.items()}
    about["fixed"] = [[*place, file.path.name] for place, file in sorted(population.fixed.items())]
    for player, sink in population.sinks.items():
        arrays |= {f"{_sink(player)}{name}": array for name, array in sink.arrays.items()}
    stored.write(_file(directory), StoredPolicy(about, arrays))


def read(directory: Path) -> NeuPLPopulation:
    """Reads the newest population.

    Raises:
      StoredPolicyError: there is none, or its file was truncated or altered.
    """
    about, arrays = stored.read(_file(directory))
    if about["kind"] != _KIND:
        raise StoredPolicyError(
            f"{_file(directory)} holds a policy of kind {about['kind']!r}, no population."
        )
    return NeuPLPopulation(
        about["epoch"],
        about["network"],
        _begin_with(arrays, _VARIABLE),
        arrays["graph"],
        arrays["payoffs"],
        Counts(**about["counts"]),
        # Populations of earlier versions do not have these.
        about.get("evaluation_games", 0),
        {
            int(player): StoredPolicy(sink, _begin_with(arrays, _sink(int(player))))
            for player, sink in about.get("sinks", {}).items()
        },
        {
            (player, index): PolicyFile(frozen.place(Path(directory), name))
            for player, index, name in about.get("fixed", [])
        },
    )


def member(population: NeuPLPopulation, player: int, index: int) -> StoredPolicy:
    """Returns a member as a stored policy: the network with the member's context, or the sink.

    Raises:
      StoredPolicyError: the file of a fixed member is lost or damaged.
    """
    if (player, index) in population.fixed:
        return frozen.read(population.fixed[player, index])
    if index == 0:
        return population.sinks.get(player, decoders.uniform(population.about["game"], player))
    context = make_contexts(population.graph[player, index], player)
    about = {**population.about, "player": player, "context": context.tolist()}
    return StoredPolicy(about, dict(population.variables))


def write_members(
    population: NeuPLPopulation, place: Callable[[int, int], Path]
) -> tuple[tuple[PolicyFile, ...], ...]:
    """Writes all members as stored policies.

    Args:
      population: the population.
      place: (player, index) -> the member's file.

    Returns:
      The files of each player's members.
    """
    return tuple(
        tuple(
            stored.write_file(place(player, index), member(population, player, index))
            for index in range(len(rows))
        )
        for player, rows in enumerate(population.graph)
    )


def place_in(directory: Path) -> Callable[[int, int], Path]:
    """Returns a function (player, index) -> the member's file in a program's directory."""
    return lambda player, index: directory / "policies" / f"player_{player}_{index:05d}.npz"


def _begin_with(arrays: Mapping[str, np.ndarray], start: str) -> dict[str, np.ndarray]:
    """Returns the arrays whose names begin with `start`, by the rest of their names."""
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def _sink(player: int) -> str:
    return f"sink_{player}/"


def _file(directory: Path) -> Path:
    return Path(directory) / "population.npz"

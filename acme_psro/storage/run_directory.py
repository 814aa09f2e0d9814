"""Run directories: `config.json`, `metrics.csv`, `checkpoints/`, events and `report.html`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from acme_psro.games.compile import DEFAULT_MAX_NODES, compile_game
from acme_psro.games.graph import GameGraph
from acme_psro.games.identity import name_game
from acme_psro.games.loading import GameError
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.policies.on_graph import GraphPolicy
from acme_psro.policies.stored import PolicyFile
from acme_psro.policies.tabular import Policy, mixture_table
from acme_psro.psro.loop import require_independent
from acme_psro.storage import checkpoint, formats
from acme_psro.storage.record import Format, Record
from acme_psro.storage.run_config import Config, RunDirectoryError, differences, is_sampled, read_config
from acme_psro.system.tables import write_csv

if TYPE_CHECKING:
    from acme_psro.meta_game.estimates import SampledPayoffs

# Settings that may change when a run is resumed: how far it goes and on which hardware, not its results.
_MAY_DIFFER = (
    "iterations",
    "exact_every",
    "launchpad.exploiter_agent",
    "launchpad.exploiter_steps",
    "launchpad.learner_devices",
    "launchpad.max_parallel_programs",
    "launchpad.program",
    "simulation.payoff_workers",
)
# Bytes in a name that every usual file system allows.
_LONGEST_NAME = 255


class StoredExactRun(NamedTuple):
    """A run of a compiled game, read back.

    Attributes:
      config: as in `config.json`.
      game: the game's name, see `acme_psro.games.identity`.
      tree: the compiled game.
      record: the newest whole checkpoint.
    """

    config: Config
    game: str
    tree: GameTree
    record: Record[Policy, np.ndarray]

    def mixture_table(self) -> np.ndarray:
        """Returns `[I, A]`: the one policy that plays like the newest mixture, weighted by reach.

        Raises:
          ValueError: the players' policies are drawn together, so that there is no such policy.
        """
        state = self.record.state
        sizes = [len(population) for population in state.populations]
        strategy = require_independent(state.meta_strategy, sizes)
        return mixture_table(self.tree, state.populations, strategy)


class StoredGraphRun(NamedTuple):
    """A run of a game that is compiled to a graph of merged states, read back.

    Attributes:
      config: as in `config.json`.
      game: the game's name, see `acme_psro.games.identity`.
      graph: the compiled game.
      record: the newest whole checkpoint.
    """

    config: Config
    game: str
    graph: GameGraph
    record: Record[GraphPolicy, np.ndarray]


class StoredSampledRun(NamedTuple):
    """A run whose payoffs are sampled, read back.

    Attributes:
      config: as in `config.json`.
      game: the game's name, see `acme_psro.games.identity`.
      record: the newest whole checkpoint.
    """

    config: Config
    game: str
    record: Record[PolicyFile, SampledPayoffs]


StoredRun: TypeAlias = StoredExactRun | StoredGraphRun | StoredSampledRun


def check(
    directory: Path,
    config: Config,
    resume: bool,
    begun: Callable[[Path], bool] = checkpoint.exists,
    may_differ: Collection[str] = _MAY_DIFFER,
) -> None:
    """Checks that a run with this configuration may begin, or resume, in the directory; writes nothing.

    Args:
      directory: the run's directory.
      config: as `write_config` will write it.
      resume: True if a run is to be resumed.
      begun: returns True if there are checkpoints in a directory.
      may_differ: names of settings that may change when a run is resumed.

    Raises:
      RunDirectoryError: it may not; the message says why and what to do.
    """
    path = directory / "config.json"
    check_place(directory)
    for part in (directory / "checkpoints", directory / "events"):
        if part.exists():
            check_place(part)
    if not path.exists():
        if begun(directory / "checkpoints"):
            raise RunDirectoryError(
                f"{directory} holds checkpoints but no config.json: choose another --output_dir."
            )
        if resume:
            raise RunDirectoryError(f"there is no run to resume in {directory}: leave out --resume.")
        return
    different = differences(read_config(path), config, may_differ)
    if different:
        raise RunDirectoryError(
            f"{directory} holds a run with another configuration ({'; '.join(different[:3])}): "
            "choose another --output_dir, or give that configuration and --resume."
        )
    # A run killed before its first checkpoint has nothing to lose, and may begin again either way.
    if not resume and begun(directory / "checkpoints"):
        raise RunDirectoryError(
            f"{directory} holds this run already: add --resume to go on with it, "
            "or choose another --output_dir."
        )


def check_place(directory: Path) -> None:
    """Checks that the path is a directory, or that one can be made there.

    Raises:
      RunDirectoryError: it is not, or it cannot be written to.
    """
    for name in directory.parts:
        if len(os.fsencode(name)) > _LONGEST_NAME:
            raise RunDirectoryError(f"the name {name[:40]}.. is too long: choose another --output_dir.")
    place = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not place.is_dir():
        raise RunDirectoryError(f"{place} is a file: choose another --output_dir.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise RunDirectoryError(f"{place} cannot be written to: choose another --output_dir.")


def resume(
    directory: Path, form: Format[PolicyT, PayoffsT], warn: Callable[[str], None]
) -> Record[PolicyT, PayoffsT] | None:
    """Returns the newest whole checkpoint, and restores the directory to its state right after it.

    Returns:
      None if the run was killed before its first checkpoint.

    Raises:
      CheckpointError: no checkpoint is whole.
    """
    if not checkpoint.exists(directory / "checkpoints"):
        return None
    try:
        record = checkpoint.restore(directory / "checkpoints", form, warn)
    except checkpoint.CheckpointError as error:
        raise checkpoint.CheckpointError(
            f"{error} The run cannot be resumed: start it again in a new directory."
        ) from None
    checkpoint.prune(directory / "checkpoints", record)
    write_csv(directory / "metrics.csv", record.metrics)
    return record


def read(directory: str | Path, warn: Callable[[str], None] = lambda line: None) -> StoredRun:
    """Reads a run without changing anything.

    Args:
      warn: called with one line for every checkpoint that is skipped.

    Raises:
      RunDirectoryError: there is no run here.
      CheckpointError: no checkpoint is whole.
    """
    directory = Path(directory)
    path = directory / "config.json"
    if not path.exists():
        raise RunDirectoryError(f"there is no run in {directory} (no config.json).")
    config = read_config(path)
    game, max_nodes = _check_game(path, config)
    if is_sampled(config):
        game = name_game(game)
        files = formats.of_files(game)
        return StoredSampledRun(config, game, checkpoint.restore(directory / "checkpoints", files, warn))
    try:
        tree = compile_game(game, max_nodes)
    except GameError:
        if config.get("oracle") != "device":
            raise
        return _read_on_graph(directory, config, game, max_nodes, warn)
    tables = formats.of_tree(tree)
    record = checkpoint.restore(directory / "checkpoints", tables, warn)
    return StoredExactRun(config, tree.game_string, tree, record)


def _read_on_graph(
    directory: Path, config: Config, game: str, max_nodes: int, warn: Callable[[str], None]
) -> StoredGraphRun:
    """Reads a run of a game that is no tree."""
    from acme_psro.games.compile_graph import compile_graph

    graph = compile_graph(game, max_nodes)
    record = checkpoint.restore(directory / "checkpoints", formats.of_graph(graph), warn)
    return StoredGraphRun(config, graph.game_string, graph, record)


def _check_game(path: Path, config: Config) -> tuple[str, int]:
    """Returns the game of a run, and the largest number of nodes of a game that is compiled.

    Raises:
      RunDirectoryError: the configuration is not one of `run_psro`, or it was altered.
    """
    if "environment" in config and "game" not in config:
        raise RunDirectoryError(f"{path.parent} is a run of run_agent: name a run of run_psro.")
    if "algorithm" in config and "oracle" not in config:
        raise RunDirectoryError(
            f"{path.parent} is a run of self-play, which has no populations: take its policy by load_policy."
        )
    game, max_nodes = config.get("game"), config.get("max_nodes", DEFAULT_MAX_NODES)
    if not isinstance(game, str):
        raise RunDirectoryError(f"{path} names no game: it was altered.")
    if type(max_nodes) is not int:
        raise RunDirectoryError(f"max_nodes in {path} is {max_nodes!r}, not a whole number: it was altered.")
    return game, max_nodes

"""Opponents of a run on their way to other machines: the files of their directory as a bundle."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.program.game_batches import FiniteGames, make_game_batch
from acme_psro.system import bundles

# A bundle of the opponents' directory.
PackedOpponents = bytes


def pack(config: AgentRunConfig) -> PackedOpponents | None:
    """Returns the files of the run's opponents, or None if they play uniformly.

    Args:
      config: configuration of a run in a game.
    """
    if config.opponent is None:
        return None
    root = Path(config.opponent)
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return bundles.pack({path.relative_to(root).as_posix(): path.read_bytes() for path in paths})


@contextlib.contextmanager
def unpacked(config: AgentRunConfig, opponents: PackedOpponents | None) -> Iterator[AgentRunConfig]:
    """Writes opponents to a temporary directory, which is removed at the end of the context.

    Args:
      config: configuration of the run.
      opponents: as `pack` returns them.

    Yields:
      The configuration with the opponents in this directory.

    Raises:
      BundleError: the opponents were altered on their way.
    """
    if opponents is None:
        yield config
        return
    with tempfile.TemporaryDirectory(prefix="acme_psro_opponents_") as name:
        bundles.write(Path(name), bundles.unpack(opponents))
        yield dataclasses.replace(config, opponent=name)


def make_games(
    config: AgentRunConfig, opponents: PackedOpponents | None, seed: int, num_games: int, trembling: bool
) -> FiniteGames:
    """Makes games of the run against opponents that have travelled.

    Args:
      config: configuration of the run.
      opponents: as `pack` returns them.
      seed: seed of chance and of the opponents' actions.
      num_games: number of games that are stepped together.
      trembling: True to play against the opponents' trembles too, as only a learner does.
    """
    with unpacked(config, opponents) as here:
        return make_game_batch(dataclasses.replace(here, games_per_actor=num_games), seed, trembling)

"""Simulation of stored policies by several workers, wherever these are."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from acme_psro.games.identity import name_game
from acme_psro.meta_game.simulation import Chunk, SampledReturns, gather, make_chunks


class SimulationError(RuntimeError):
    """Workers were lost too often; the message is one line for the user."""


class Task(NamedTuple):
    """A chunk to play with policies from files.

    Attributes:
      game: the game's name.
      paths: `[P]`, a file for each player.
      chunk: the episodes.
      seed: not negative.
    """

    game: str
    paths: tuple[str, ...]
    chunk: Chunk
    seed: int


class Simulator(abc.ABC):
    """Workers that simulate; to be used in a `with` statement, or closed. They start again when needed."""

    @abc.abstractmethod
    def play(self, tasks: Sequence[Task]) -> list[SampledReturns]:
        """Returns the returns of each task's chunk.

        Raises:
          ValueError: a policy cannot be used.
          SimulationError: workers were lost too often.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Ends the workers."""

    @abc.abstractmethod
    def describe(self) -> str:
        """Returns a few words on the workers, such as "workers: 2"."""

    def __enter__(self) -> Simulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def simulate(
        self,
        game: str,
        paths: Sequence[Sequence[Path]],
        profiles: np.ndarray,
        episodes: int | np.ndarray,
        seed: int,
        begun: int | np.ndarray = 0,
    ) -> SampledReturns:
        """Returns the same as `acme_psro.meta_game.simulation.simulate`, whatever the number of workers.

        Args:
          game: as `load_game` takes it.
          paths: `[P][n_p]`, of stored policies that stay as they are.
          profiles: `[n, P]` int, each player's policy, without duplicates.
          episodes: of each profile, or `[n]`.
          seed: not negative.
          begun: how many of each profile, or `[n]`, were played before; these are others.

        Raises:
          ValueError: profiles are invalid, numbers are negative, or a policy cannot be used.
          SimulationError: workers were lost too often.
        """
        name = name_game(game)
        chunks = make_chunks(profiles, [len(own) for own in paths], episodes, begun)
        played = self.play([Task(name, _paths_of(paths, chunk), chunk, seed) for chunk in chunks])
        return gather(chunks, played, len(profiles), len(paths))


def _paths_of(paths: Sequence[Sequence[Path]], chunk: Chunk) -> tuple[str, ...]:
    return tuple(str(own[index]) for own, index in zip(paths, chunk.profile, strict=True))

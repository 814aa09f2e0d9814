"""Progress of a program, read from the files that it writes."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import NamedTuple

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.progress import COMPILING, TRAINING
from acme_psro.system import tables

STARTING = "starting the processes of the program"
# The learner compiles as soon as replay holds enough for its first step.
WAITING = f"collecting experience and {COMPILING}"
ENDING = "stopping"


class ProgramStatus(NamedTuple):
    """State of a program at the moment.

    Attributes:
      phase: the current work in a few words.
      actor_steps: number of steps made so far.
      episode_return: return of the newest episode in the table; nan if there is none.
    """

    phase: str
    actor_steps: int
    episode_return: float


class ProgramWatch:
    """Reader of a program's progress, for one launch after the other.

    Args:
      directory: output directory of the run.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[str, tuple[int, list[tables.Row]]] = {}
        self.expect_launch()

    def expect_launch(self) -> None:
        """Takes everything that the directory holds now for the work of earlier launches."""
        self._earlier_starts = self.rows("starts")
        self._earlier_signs = self._signs()

    def status(self) -> ProgramStatus:
        """Returns the current work of the program."""
        episodes = self.rows("actor")
        if not episodes:
            steps = run_directory.newest_checkpoint(self._directory) or 0
            return ProgramStatus(self._phase(), steps, math.nan)
        last = episodes[-1]
        return ProgramStatus(self._phase(), int(last["actor_steps"]), last["episode_return"])

    def rows(self, name: str) -> list[tables.Row]:
        """Returns the rows of a table, which is read only if it has changed.

        Args:
          name: name of the table, such as "evaluation".
        """
        path = self._directory / f"{name}.csv"
        changed = _time_of(path)
        if changed is None:
            return []
        if name not in self._read or self._read[name][0] != changed:
            self._read[name] = (changed, tables.read(path))
        return self._read[name][1]

    def _phase(self) -> str:
        if run_directory.is_ending(self._directory):
            return ENDING
        # The learner adds a row after its first step, with times that no earlier row has.
        if any(row not in self._earlier_starts for row in self.rows("starts")):
            return TRAINING
        return STARTING if self._signs() == self._earlier_signs else WAITING

    def _signs(self) -> tuple[int | None, int | None]:
        """Returns values that change when the processes begin to work."""
        return run_directory.newest_checkpoint(self._directory), _time_of(self._directory / "actor.csv")


def _time_of(path: Path) -> int | None:
    """Returns when a file was changed, in nanoseconds, or None if there is no file."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime_ns
    return None

"""Epochs of a program in the background, one for each call of an oracle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from acme_psro.agent_runs.neupl_program.background import BackgroundProgram
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation
from acme_psro.neupl import history
from acme_psro.neupl.values import Values
from acme_psro.oracles.base import NO_WORK, Counts, Memory
from acme_psro.system.executors.placing import LOCAL, Placing
from acme_psro.system.jobs import Event


class Epoch(NamedTuple):
    """An epoch of the program.

    Attributes:
      population: the members after it.
      counts: the work since the epoch before.
    """

    population: NeuPLPopulation
    counts: Counts


class Epochs:
    """The epochs of a program that starts with the first call of `advance`, and that `close` ends.

    The program is ended with this process in any case, and goes on from its checkpoints.

    Args:
      config: configuration of the program, with at least as many epochs as there will be calls.
      directory: the program's directory.
      on_event: called when the program starts, fails or is done.
      placing: the machines on which the program runs.
    """

    def __init__(
        self,
        config: NeuPLProgramConfig,
        directory: Path,
        on_event: Callable[[Event], None] = lambda event: None,
        placing: Placing = LOCAL,
    ) -> None:
        self._config, self._directory, self._on_event = config, directory, on_event
        self._placing = placing
        self._program: BackgroundProgram | None = None
        self._epoch = 0
        self._counts = NO_WORK
        self._history = history.start(config.members.population_size)

    def advance(self) -> Epoch:
        """Waits for an epoch after the last one.

        If the program is ahead, epochs are left out, and the last population answers all further calls.

        Raises:
          ValueError: the program's configuration is refused.
          JobError: the program failed for good.
        """
        if self._program is None:
            self._program = BackgroundProgram(
                self._config, self._directory, self._on_event, placing=self._placing
            )
            self._program.__enter__()
        population = self._program.wait_for(min(self._epoch + 1, self._config.epochs))
        counts = _difference(population.counts, self._counts)
        self._epoch, self._counts = population.epoch, population.counts
        return Epoch(population, counts)

    def record(self, graph: np.ndarray, values: Values) -> None:
        """Adds an epoch to the history of the graph `[P, N, N]` that its members learned by."""
        self._history = history.record(self._history, graph, values)

    def freezing_metrics(self, population: NeuPLPopulation) -> dict[str, float]:
        """Returns the number of frozen members by its metric's name; nothing if none are to be frozen."""
        return {"frozen": float(population.num_frozen)} if self._config.members.freezing else {}

    def memory(self) -> Memory:
        """Returns the last epoch's number, the work until then and the history; the rest is the program's."""
        counts = self._counts
        done = np.array([counts.episodes, counts.env_steps, counts.gradient_steps], np.int64)
        arrays = history.to_arrays(self._history)
        recorded = {f"{history.PREFIX}{name}": values for name, values in arrays.items()}
        return {"epoch": np.array(self._epoch), "counts": done, **recorded}

    def remember(self, memory: Memory) -> None:
        """Makes the next call wait for a later epoch than the one in the memory.

        Raises:
          ValueError: this is not the memory of such a program.
        """
        if not memory:
            return
        own = {name for name in memory if not name.startswith(history.PREFIX)}
        if own != {"epoch", "counts"} or np.shape(memory["counts"]) != (3,):
            raise ValueError(
                "this run did not learn by NeuPL's program: give the --oracle that it began with."
            )
        self._epoch = int(memory["epoch"])
        self._counts = Counts(*(int(count) for count in memory["counts"]))
        # Runs of earlier versions have no history.
        self._history = history.read_history(memory) or self._history

    def close(self) -> None:
        """Ends the program, and returns when no process of it is left."""
        if self._program is not None:
            self._program.__exit__(None, None, None)
            self._program = None


def _difference(now: Counts, before: Counts) -> Counts:
    """Returns the work since the last epoch. A program that was killed may have lost some of it."""
    return Counts(
        max(0, now.episodes - before.episodes),
        max(0, now.env_steps - before.env_steps),
        max(0, now.gradient_steps - before.gradient_steps),
    )

"""NeuPL's program in the background of a process that waits for its populations, epoch by epoch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from acme_psro.agent_runs.neupl_program import launch
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation
from acme_psro.system.executors.placing import LOCAL, Placing
from acme_psro.system.jobs import Event
from acme_psro.system.retries import Retries

_POLL_SECONDS = 0.2


class _ClosedError(Exception):
    """The program is not waited for any more."""


class BackgroundProgram:
    """A program that is supervised by a thread, from entering this context to leaving it.

    No process of the program is left when the context is left, in whatever way. The program goes on from its
    checkpoints when another context is entered in its directory.

    Args:
      config: configuration of the program.
      directory: its directory.
      on_event: called when the program starts, fails or is done, by `wait_for`.
      retries: see `acme_psro.system.supervision.run_all`.
      placing: the machines on which the program runs.
    """

    def __init__(
        self,
        config: NeuPLProgramConfig,
        directory: Path,
        on_event: Callable[[Event], None] = lambda event: None,
        retries: Retries | None = None,
        placing: Placing = LOCAL,
    ) -> None:
        self._config, self._directory = config, directory
        self._on_event, self._retries, self._placing = on_event, retries, placing
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._newest: NeuPLPopulation | None = None
        self._events: list[Event] = []
        self._error: BaseException | None = None

    def __enter__(self) -> BackgroundProgram:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        # Waits for the processes to end, which have a limited time for it.
        self._thread.join()

    def wait_for(self, epoch: int) -> NeuPLPopulation:
        """Returns the newest population, as soon as it is of this epoch or a later one.

        Raises:
          ValueError: the configuration is refused, or the program ends before this epoch.
          JobError: the program failed for good.
        """
        if epoch > self._config.epochs:
            raise ValueError(
                f"the program ends after epoch {self._config.epochs}, before epoch {epoch}: give it more."
            )
        while True:
            # Read before the population: a thread that has ended will not find another one.
            has_ended = not self._thread.is_alive()
            with self._lock:
                newest, events, self._events = self._newest, self._events, []
            for event in events:
                self._on_event(event)
            if newest is not None and newest.epoch >= epoch:
                return newest
            if has_ended:
                raise self._error or RuntimeError("the program has not begun, or was closed.")
            time.sleep(_POLL_SECONDS)

    def _run(self) -> None:
        try:
            launch.run(
                self._config,
                self._directory,
                on_epoch=self._keep,
                on_event=self._add_event,
                on_poll=self._check,
                retries=self._retries,
                placing=self._placing,
            )
        except _ClosedError:
            pass
        except BaseException as error:
            self._error = error

    def _keep(self, population: NeuPLPopulation) -> None:
        with self._lock:
            self._newest = population

    def _add_event(self, event: Event) -> None:
        with self._lock:
            self._events.append(event)

    def _check(self) -> None:
        if self._closing.is_set():
            raise _ClosedError

"""Callback that shows a run's progress on the screen, and the lines in which it does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from acme_psro.display import formats
from acme_psro.display.progress import Details, Progress, make_progress, no_details
from acme_psro.population_runs.callbacks import Callback
from acme_psro.population_runs.events import (
    IterationEnded,
    IterationStarted,
    ResponseFound,
    RunEnded,
    RunStarted,
    RunStopped,
)
from acme_psro.psro import loop
from acme_psro.storage.record import Record
from acme_psro.system import tables
from acme_psro.system.executors.placing import LOCAL, Placing


class ProgressDisplay(Callback):
    """Shows the beginning, the current task and the metrics of a run.

    Args:
      stream: the stream to write to. In a terminal, a bar and a table are redrawn in place; elsewhere each
        iteration is a line, and a line says from time to time that the run is still at work.
      details: returns lines on what the run itself computes now.
      placing: the machines on which the run's work is carried out.
    """

    _progress: Progress
    _config: Mapping[str, Any]

    def __init__(self, stream: TextIO, details: Details = no_details, placing: Placing = LOCAL) -> None:
        self._stream, self._details, self._placing = stream, details, placing
        self._is_compiled = False

    def on_start(self, event: RunStarted) -> None:
        self._config, self._responses = event.config, event.run_dir / "responses"
        print(event.description, file=self._stream)
        print(describe_work(event.config, event.run_dir, self._placing), file=self._stream, flush=True)
        done = 0 if event.record is None else event.record.state.iteration
        self._iterations = event.iterations
        self._progress = make_progress(max(event.iterations, done), self._stream)
        self._progress.__enter__()
        for row in event.record.metrics if event.record is not None else ():
            self._progress.update(row)
        if event.record is None:
            self._progress.start_iteration(0, "computing payoffs of the first policies", self._details)
        elif done >= event.iterations:
            self._start_final(event.record)

    def on_iteration_start(self, event: IterationStarted) -> None:
        oracle = self._config["oracle"]
        sought = "members" if self._config["loop"] == "neupl" else "best responses"
        text = f"computing {sought}" if oracle == "exact" else f"training {sought} ({oracle})"
        if oracle == "device" and not self._is_compiled:
            # XLA's compiler may take nearly all of the first iteration.
            text = f"compiling, then {text}"
            self._is_compiled = True
        self._progress.start_iteration(event.iteration, text, self._programs(event.record))

    def on_response(self, event: ResponseFound) -> None:
        if event.player == 0:
            self._progress.start_iteration(event.iteration, "computing payoffs", self._details)

    def on_iteration(self, event: IterationEnded) -> None:
        for row in event.changed_rows():
            self._progress.update(row)
        if event.iteration >= self._iterations and not event.is_repeated:
            self._start_final(event.record)

    def on_end(self, event: RunEnded) -> None:
        self._progress.__exit__(None, None, None)

    def on_stop(self, event: RunStopped) -> None:
        self._progress.__exit__(type(event.error), event.error, event.error.__traceback__)

    def _start_final(self, record: Record[Any, Any]) -> None:
        text = "evaluating the last mixture"
        self._progress.start_iteration(record.state.iteration, text, self._programs(record))

    def _programs(self, record: Record[Any, Any]) -> Details:
        """Returns a function that describes the programs which train responses to a record's mixture."""
        # NeuPL has one program for all members.
        if self._config["oracle"] != "launchpad" or self._config["loop"] == "neupl":
            return self._details
        # Imported here so that other oracles do not pay for the import.
        from acme_psro.oracles.launchpad.tasks import task_directory

        key = loop.iteration_key(self._config["seed"], record.state.iteration)
        places = [
            task_directory(self._responses, key, player) / "run"
            for player in range(len(record.state.populations))
        ]
        budget = self._config["launchpad"].get("actor_steps")
        return lambda: [
            *self._details(),
            *(describe_program(place, player, budget) for player, place in enumerate(places)),
        ]


def describe_work(config: Mapping[str, Any], directory: Path, placing: Placing = LOCAL) -> str:
    """Returns one line on a run: its loop, oracle, agent, devices and directory."""
    parts = [f"loop {config['loop']}"] if config.get("loop", "psro") != "psro" else []
    parts.append(f"oracle {config['oracle']}")
    if "agent" in config:
        parts.append(f"agent {config['agent']}")
    if placing.is_remote:
        parts.append("on a Ray cluster")
    elif config["oracle"] == "device":
        # JAX is loaded by now: the oracle needs it.
        import jax

        # The oracle runs on the first device.
        parts.append(f"on {jax.local_devices()[0].device_kind}")
    return f"{', '.join(parts)}; in {directory}"


def describe_program(directory: Path, player: int, budget: int | None) -> str:
    """Returns one line on the progress of a Launchpad program, from the tables that it writes.

    Args:
      directory: the program's directory, which may not exist yet.
      player: the player whose response the program learns.
      budget: the decisions after which it ends; None if it is not known.
    """
    name = f"player {player}'s program"
    if (directory / "finished.json").exists():
        return f"{name}: finished"
    try:
        rows = tables.read(directory / "actor.csv")
    except (OSError, ValueError):
        rows = []
    if not rows:
        return f"{name}: {'starting' if directory.exists() else 'waiting'}"
    last = rows[-1]
    steps, result = last.get("actor_steps", math.nan), last.get("episode_return", math.nan)
    total = "" if budget is None else f" of {budget:,}"
    return f"{name}: {steps:,.0f}{total} decisions, last return {formats.format_value(result)}"

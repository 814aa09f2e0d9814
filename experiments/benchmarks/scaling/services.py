"""Costs of the parts of a program, each measured separately, and the setup of the simulation."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.system.process_groups import Group, end_all
from experiments.benchmarks.scaling.model import Limiter, Services, Setup, Work

_PROBES = "experiments.benchmarks.scaling.probes"
_GLANCE_SECONDS = 0.1
_STOP_SECONDS = 5.0
# Enough for imports, compilation and a few seconds of measurement on a busy machine.
_MOST_SECONDS = 300.0


class Usage(NamedTuple):
    """CPU time of a process.

    Attributes:
      cpu_seconds: CPU time of all its threads.
      thread_seconds: CPU time of its busiest thread.
    """

    cpu_seconds: float
    thread_seconds: float

    def as_work(self) -> Work:
        """Converts to work that lasts as long as the busiest thread, with all other threads in parallel."""
        if not self.thread_seconds:
            # The system counts CPU time in hundredths of a second, so a short use may be counted as zero.
            return Work(0.0)
        return Work(self.thread_seconds, self.cpu_seconds / self.thread_seconds)


class Cost(NamedTuple):
    """Cost of doing something once.

    Attributes:
      seconds: wall-clock time.
      here: CPU time of the process that does it.
      server: CPU time of replay's process; None if it is not involved or there is no such process.
    """

    seconds: float
    here: Usage
    server: Usage | None


class Costs(NamedTuple):
    """Costs of a program's operations.

    Attributes:
      acting: an env step of an actor that writes nothing.
      acting_and_writing: an env step of an actor that writes to replay.
      writing: a decision that is only written, as fast as possible.
      several_writing: a decision that is written by one of four parallel threads of one process.
      reading: a decision that the learner's process draws without learning from it.
      learning: a gradient step on data that is already available.
      variables: a request for variables inside the learner's process.
      far_variables: a request for variables over Courier, by a client in the measured process.
    """

    acting: Cost
    acting_and_writing: Cost
    writing: Cost
    several_writing: Cost
    reading: Cost
    learning: Cost
    variables: Cost
    far_variables: Cost


class Parts(NamedTuple):
    """Measurements of a program's parts.

    Attributes:
      costs: costs of the parts' operations.
      limiter: replay's rate limiter.
      sizes: the sizes of a `Setup`, by field.
    """

    costs: Costs
    limiter: Limiter
    sizes: Mapping[str, int]

    def setup(self, learns: bool = True) -> Setup:
        """Returns the program for the simulation; without learning nothing is drawn from replay."""
        limiter = self.limiter if learns else Limiter(0.0, 0.0, -math.inf, math.inf)
        # If replay has no process of its own, the measured cost of reading is that of all streams together.
        streams = {} if self.costs.reading.server else {"streams": 1}
        return Setup(make_services(self.costs), limiter, **{**self.sizes, **streams})


def make_services(costs: Costs) -> Services:
    """Computes the work of a program's parts from measured costs.

    An actor is assumed to use one core. Wall-clock time of reading does not separate the server's work from
    waiting for it, so replay's work is taken from its CPU time and that of its busiest thread, which serves
    the table. A stream that draws samples uses one core. If replay is in the learner's process, drawing is
    part of reading, which all threads involved share.
    """
    inserting, reading, learning = costs.acting_and_writing.server, costs.reading, costs.learning
    assert inserting is not None
    cores = max(1.0, learning.here.cpu_seconds / learning.seconds)
    return Services(
        act=Work(costs.acting_and_writing.here.cpu_seconds),
        insert=inserting.as_work(),
        draw=reading.server.as_work() if reading.server else Work(0.0),
        read=Work(reading.here.cpu_seconds) if reading.server else reading.here.as_work(),
        learn=Work(learning.here.cpu_seconds / cores, cores),
        fetch=Work(costs.far_variables.here.cpu_seconds),
    )


def measure(config: AgentRunConfig, seconds: float, directory: Path, environment: Mapping[str, str]) -> Parts:
    """Measures all parts one after the other; only the replay server runs at the same time.

    Args:
      config: the program's configuration.
      seconds: duration of each measurement.
      directory: directory for the output of the processes.
      environment: environment variables of the processes.

    Raises:
      RuntimeError: a process failed.
    """
    task = {"config": config.to_json(), "seconds": seconds}
    with _run("replay", task, directory, environment) as (server, replay):
        _wait(server, replay)
        found = json.loads(replay.read_text())
        costs: dict[str, Any] = {}
        environments = {"actor": {**environment, **found["actor_environment"]}, "learner": environment}
        for name, theirs in environments.items():
            assigned = task | {"port": found["port"], "server": found["process"]}
            with _run(name, assigned, directory, theirs) as (child, said):
                _wait(child, said)
                costs |= json.loads(said.read_text())
    return Parts(
        Costs(**{name: _cost(*values) for name, values in costs.items()}),
        Limiter(*found["limiter"]),
        found["sizes"],
    )


def _cost(seconds: float, here: list[float], server: list[float] | None) -> Cost:
    return Cost(seconds, Usage(*here), None if server is None else Usage(*server))


@contextlib.contextmanager
def _run(
    name: str, task: Mapping[str, Any], directory: Path, environment: Mapping[str, str]
) -> Iterator[tuple[Group, Path]]:
    """Context manager that runs a measuring process.

    Its temporary files are in `directory`, because the process may have to be killed before it removes them.

    Yields:
      The process group, and the path of the file to which the process writes its results.
    """
    said = directory / f"{name}.json"
    command = [sys.executable, "-m", _PROBES, name, json.dumps(task), str(said)]
    group = Group(command, {**environment, "TMPDIR": str(directory)})
    try:
        yield group, said
    finally:
        end_all([group], _STOP_SECONDS)


def _wait(group: Group, said: Path) -> None:
    """Waits for the file with the results of a process, which is written atomically."""
    deadline = time.monotonic() + _MOST_SECONDS
    while not said.exists():
        if (code := group.poll()) is not None and not said.exists():
            raise RuntimeError(f"measuring the {said.stem} ended with code {code}: {group.last_line()}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"measuring the {said.stem} took longer than {_MOST_SECONDS:g} s")
        time.sleep(_GLANCE_SECONDS)

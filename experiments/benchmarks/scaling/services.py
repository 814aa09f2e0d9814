"""What the parts of a program cost, each measured alone, and the program that is simulated with them."""

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
# Importing, compiling and a few seconds of measuring, on a machine that may be busy.
_MOST_SECONDS = 300.0


class Usage(NamedTuple):
    """What a process has had of CPUs.

    Attributes:
      cpu_seconds: of all its threads.
      thread_seconds: of the busiest thread.
    """

    cpu_seconds: float
    thread_seconds: float

    def as_work(self) -> Work:
        """What cannot be done faster than by the busiest thread, while the others share in it."""
        if not self.thread_seconds:
            # The system counts in hundredths of a second.
            return Work(0.0)
        return Work(self.thread_seconds, self.cpu_seconds / self.thread_seconds)


class Cost(NamedTuple):
    """What something costs each time that it is done.

    Attributes:
      seconds: of the clock.
      here: by the process that does it.
      server: by replay's process; None where that has no part, or there is none.
    """

    seconds: float
    here: Usage
    server: Usage | None


class Costs(NamedTuple):
    """Of an env step, decision, gradient step or request.

    Attributes:
      acting: an env step of an actor that writes nothing.
      acting_and_writing: of one that writes to replay.
      writing: a decision that is only written, as fast as it can be.
      several_writing: one of four writers at once, threads of one process.
      reading: a decision that the learner's process draws, and learns nothing from.
      learning: a gradient step with data at hand.
      variables: a request for them inside the learner's process.
      far_variables: one over Courier, whoever asks being part of the process that is measured.
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
    """What is known of a program's parts.

    Attributes:
      costs: of what they do.
      limiter: of its replay.
      sizes: the numbers of a `Setup`.
    """

    costs: Costs
    limiter: Limiter
    sizes: Mapping[str, int]

    def setup(self, learns: bool = True) -> Setup:
        """The program for the simulation; where nobody learns, nobody draws either."""
        limiter = self.limiter if learns else Limiter(0.0, 0.0, -math.inf, math.inf)
        # Without a server to be told apart from them, streams are measured as one.
        streams = {} if self.costs.reading.server else {"streams": 1}
        return Setup(make_services(self.costs), limiter, **{**self.sizes, **streams})


def make_services(costs: Costs) -> Services:
    """What the parts have to do.

    An actor has one core, whatever its process would use. Nobody has separated the server's share in reading
    from waiting for it: what replay does is told by its CPU, and that its table is one thread's. A stream
    that draws samples is as fast as one core. Where replay is in the learner's process, drawing is part of
    reading, which all threads that have to do with it share.
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
    """Measures all parts, one after the other; only the server runs beside those that use it.

    Args:
      config: of the program.
      seconds: for each of the things to measure.
      directory: for what the processes say.
      environment: variables of theirs.

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
            told = task | {"port": found["port"], "server": found["process"]}
            with _run(name, told, directory, theirs) as (child, said):
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
    """A process that measures, and where it will write what it found.

    It may have to be killed: what it leaves of temporary files is in the directory.
    """
    said = directory / f"{name}.json"
    command = [sys.executable, "-m", _PROBES, name, json.dumps(task), str(said)]
    group = Group(command, {**environment, "TMPDIR": str(directory)})
    try:
        yield group, said
    finally:
        end_all([group], _STOP_SECONDS)


def _wait(group: Group, said: Path) -> None:
    """Waits for what a process says; it is written at once."""
    deadline = time.monotonic() + _MOST_SECONDS
    while not said.exists():
        if (code := group.poll()) is not None and not said.exists():
            raise RuntimeError(f"measuring the {said.stem} ended with code {code}: {group.last_line()}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"measuring the {said.stem} took longer than {_MOST_SECONDS:g} s")
        time.sleep(_GLANCE_SECONDS)

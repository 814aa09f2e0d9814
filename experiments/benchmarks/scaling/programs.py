"""Measurement of real programs from outside; each runs for a limited time and is then ended."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs import program_jobs
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.system import tables
from acme_psro.system.process_groups import Group, end_all

# A program that has not started to work after this time has failed. It may have to compile on a busy machine.
_START_SECONDS = 300.0
_STOP_SECONDS = 20.0
_GLANCE_SECONDS = 0.2
# More steps than a program can do while it is measured.
_ENDLESS = 10**9
# Decisions before learning begins, in programs that do not learn.
_NEVER = 10**7


class Program(NamedTuple):
    """Variant of the program.

    Attributes:
      actors: the number of actors.
      learns: if False, the learner waits for experience forever, and actors never wait for the learner.
    """

    actors: int
    learns: bool


class Watched(NamedTuple):
    """Measurements of a program.

    Attributes:
      env_steps: env steps per second of all actors.
      gradient_steps: gradient steps per second.
      start_seconds: seconds until the end of the first gradient step, including compilation; NaN if there is
        none.
    """

    env_steps: float
    gradient_steps: float
    start_seconds: float


class Windows(NamedTuple):
    """Durations of a measurement in seconds.

    Attributes:
      settle: time between the first gradient step and the measurement. Without learning, it begins with the
        first episodes.
      watch: duration of the measurement.
    """

    settle: float
    watch: float


def make_config(
    agent: str, game: str, player: int, games_per_actor: int, seed: int, num_actors: int, learns: bool
) -> AgentRunConfig:
    """Returns the configuration of a program that runs without end and without evaluations.

    Args:
      agent: name of the agent that learns.
      game: OpenSpiel game string.
      player: the player whose decisions are learned.
      games_per_actor: the number of games that an actor plays in parallel.
      seed: random seed of the program.
      num_actors: the number of actors.
      learns: if False, the learner waits for experience forever, and actors never wait for the learner.

    Raises:
      ValueError: an argument has an invalid value.
    """
    apart = {
        "min_replay_size": _NEVER,
        "max_replay_size": _NEVER,
        "samples_per_insert_tolerance_rate": math.inf,
    }
    return AgentRunConfig(
        agent,
        f"openspiel:{game}",
        actor_steps=_ENDLESS,
        evaluate_every=_ENDLESS,
        seed=seed,
        player=player,
        games_per_actor=games_per_actor,
        num_actors=num_actors,
        distributed=True,
        replay_settings={} if learns else apart,
    )


def watch(
    config: AgentRunConfig, learns: bool, directory: Path, windows: Windows, environment: Mapping[str, str]
) -> Watched:
    """Runs and measures a program, and then ends all its processes; only its directory remains.

    Args:
      config: the program's configuration.
      learns: True if the program's learner learns.
      directory: the run directory.
      windows: durations of the measurement.
      environment: environment variables of the program's processes.

    Raises:
      RuntimeError: the program failed, or did not start to work in time.
    """
    job = program_jobs.make_job(config, directory)
    group = Group(job.command, {**job.environment, **environment})
    seen = Sightings(directory, config.num_actors)
    try:
        begun, until, counts_from = time.monotonic(), math.inf, math.inf
        while time.monotonic() < until:
            time.sleep(_GLANCE_SECONDS)
            if (code := group.poll()) is not None:
                raise RuntimeError(_why(group, directory, code))
            seen.glance()
            if until == math.inf and seen.is_under_way(learns):
                counts_from = time.time() + windows.settle
                until = time.monotonic() + windows.settle + windows.watch
            elif until == math.inf and time.monotonic() - begun > _START_SECONDS:
                raise RuntimeError(f"the program has not got going within {_START_SECONDS:g} s")
    finally:
        end_all([group], _STOP_SECONDS)
    starts = tables.read(directory / "starts.csv")
    return Watched(
        seen.rate("actor", "actor_steps", counts_from),
        seen.rate("learner", "learner_gradient_steps", counts_from) if learns else 0.0,
        starts[-1]["first_step_seconds"] if starts else math.nan,
    )


def _why(group: Group, directory: Path, code: int) -> str:
    """Returns an error message for a program that ended by itself."""
    failure = run_directory.read_failure(directory)
    said = group.last_line() if failure is None else f"{failure.message} ({failure.kind})"
    return f"the program ended with code {code}: {said}"


class _Point(NamedTuple):
    """A row of a table, and the time at which it was written."""

    written_at: float
    row: dict[str, float]


class Sightings:
    """The rows that the learner and all actors have written so far."""

    def __init__(self, directory: Path, num_actors: int) -> None:
        self._directory = directory
        self._actors = ["actor", *(f"actor_{number}" for number in range(1, num_actors))]
        self._points: dict[str, list[_Point]] = {name: [] for name in (*self._actors, "learner")}

    def glance(self) -> None:
        """Reads new rows. Tables grow by a row every few seconds, so the last row is as old as the file."""
        for name, points in self._points.items():
            path = self._directory / f"{name}.csv"
            with contextlib.suppress(FileNotFoundError):
                written_at = path.stat().st_mtime
                if not points or written_at > points[-1].written_at:
                    rows = tables.read(path)
                    if rows and path.stat().st_mtime == written_at:
                        points.append(_Point(written_at, rows[-1]))

    def is_under_way(self, learns: bool) -> bool:
        """Returns True if all actors, and if `learns` the learner, have written rows."""
        names = [*self._actors, *(["learner"] if learns else [])]
        return all(self._points[name] for name in names)

    def rate(self, who: str, column: str, begin: float) -> float:
        """Estimates the growth per second of a count by linear regression.

        Args:
          who: `actor` for the sum over all actors, or `learner`.
          column: the column of the count.
          begin: time from which on rows are used.

        Raises:
          RuntimeError: fewer than two rows were written at different times.
        """
        names = self._actors if who == "actor" else [who]
        points = [point for name in names for point in self._points[name] if point.written_at >= begin]
        times = [point.written_at for point in points]
        if len(set(times)) < 2:
            raise RuntimeError(f"the {who} has written less than two rows: watch it for longer")
        return statistics.linear_regression(times, [point.row[column] for point in points]).slope

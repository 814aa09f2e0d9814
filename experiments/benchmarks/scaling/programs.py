"""Real programs of one agent, timed from outside: each runs for a while and is ended."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs import launch
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.system import tables
from acme_psro.system.process_groups import Group, end_all

# A program that does not get going has gone wrong; it may have to compile, on a busy machine.
_START_SECONDS = 300.0
_STOP_SECONDS = 20.0
_GLANCE_SECONDS = 0.2
# More than a program can get through while it is watched.
_ENDLESS = 10**9
# Decisions before learning begins, where it is not to.
_NEVER = 10**7


class Program(NamedTuple):
    """Which program.

    Attributes:
      actors: how many it has.
      learns: otherwise its learner waits for experience for ever, and its actors never wait for it.
    """

    actors: int
    learns: bool


class Watched(NamedTuple):
    """What was seen of a program.

    Attributes:
      env_steps: a second, of all actors.
      gradient_steps: a second.
      start_seconds: until the first gradient step was done, compiling included; NaN where there is none.
    """

    env_steps: float
    gradient_steps: float
    start_seconds: float


class Windows(NamedTuple):
    """How long a program is watched, in seconds.

    Attributes:
      settle: after the first gradient step, or where nobody learns the first episodes, and before anything
        counts.
      watch: that count.
    """

    settle: float
    watch: float


def make_config(
    agent: str, game: str, player: int, games_per_actor: int, seed: int, num_actors: int, learns: bool
) -> AgentRunConfig:
    """A program that goes on for ever, and is not evaluated meanwhile.

    Args:
      agent: that learns.
      game: OpenSpiel game string.
      player: whose decisions are learned.
      games_per_actor: that an actor plays side by side.
      seed: of everything random.
      num_actors: of the program.
      learns: otherwise its learner waits for experience for ever, and its actors never wait for it.

    Raises:
      ValueError: a value that is not allowed.
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
    """Runs a program until it has been watched for long enough; nothing of it is left but its directory.

    Args:
      config: of the program.
      learns: whether its learner does.
      directory: of the run.
      windows: how long.
      environment: variables of the program's.

    Raises:
      RuntimeError: the program failed, or does not get going.
    """
    job = launch.make_job(config, directory)
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
    failure = run_directory.read_failure(directory)
    said = group.last_line() if failure is None else f"{failure.message} ({failure.kind})"
    return f"the program ended with code {code}: {said}"


class _Point(NamedTuple):
    """A row of a table, and when it was written."""

    written_at: float
    row: dict[str, float]


class Sightings:
    """The rows that the learner and all actors have written so far."""

    def __init__(self, directory: Path, num_actors: int) -> None:
        self._directory = directory
        self._actors = ["actor", *(f"actor_{number}" for number in range(1, num_actors))]
        self._points: dict[str, list[_Point]] = {name: [] for name in (*self._actors, "learner")}

    def glance(self) -> None:
        """Looks for new rows. A table gets one every few seconds: the last is as old as the file."""
        for name, points in self._points.items():
            path = self._directory / f"{name}.csv"
            with contextlib.suppress(FileNotFoundError):
                written_at = path.stat().st_mtime
                if not points or written_at > points[-1].written_at:
                    rows = tables.read(path)
                    if rows and path.stat().st_mtime == written_at:
                        points.append(_Point(written_at, rows[-1]))

    def is_under_way(self, learns: bool) -> bool:
        """Whether all that are to work do so."""
        names = [*self._actors, *(["learner"] if learns else [])]
        return all(self._points[name] for name in names)

    def rate(self, who: str, column: str, begin: float) -> float:
        """What a count grows by in a second from a time on: the slope of the line through what is said of it.

        Raises:
          RuntimeError: nothing, or too little, has been.
        """
        names = self._actors if who == "actor" else [who]
        points = [point for name in names for point in self._points[name] if point.written_at >= begin]
        times = [point.written_at for point in points]
        if len(set(times)) < 2:
            raise RuntimeError(f"the {who} has written less than two rows: watch it for longer")
        return statistics.linear_regression(times, [point.row[column] for point in points]).slope

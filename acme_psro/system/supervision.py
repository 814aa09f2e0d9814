"""Runs jobs as child processes, some side by side, and launches those again that fail or hang.

What a job has done is on disk, and told by functions that it comes with: a command that is run again goes on
from there. The caller may be killed at any time, and may begin again with the same jobs.
"""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

from acme_psro.system.process_groups import Group, end_all, interruptible

# The exit code of a command that refuses what it was asked for; asking again would not help.
BAD_INPUT = 2


class Failure(NamedTuple):
    """Why a child ended before its job was done.

    Attributes:
      message: one line for the user.
      is_final: whether it would only fail again.
    """

    message: str
    is_final: bool = False


class JobError(RuntimeError):
    """A job has failed for good; the message is one line for the user.

    Attributes:
      job: its name.
    """

    def __init__(self, job: str, message: str) -> None:
        super().__init__(message)
        self.job = job


@dataclasses.dataclass(frozen=True)
class Job:
    """A command that is done when what it was to leave on disk is there.

    Attributes:
      name: for events and errors.
      command: what to run; an exit code of 2 says that the input is bad, and the last line printed why.
      is_done: asked before the first launch, and whenever a child has ended, whichever way.
      failure: is told how a child ended that was not done, such as "killed by SIGKILL"; says what that means.
      landmark: where another launch would go on from, such as the newest checkpoint. A job that has got to
        another one since its last launch may fail as often as a new one.
      signs: of life, by name: values that change while all goes well, such as sizes of tables. Each must
        change every `hang_seconds`, from the launch or its own appearance on.
      environment: variables, over those of this process.
    """

    name: str
    command: Sequence[str]
    is_done: Callable[[], bool]
    failure: Callable[[str], Failure] = Failure
    landmark: Callable[[], Hashable] = lambda: None
    signs: Callable[[], Mapping[str, Hashable]] = dict
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Retries:
    """How often a job that does not get on is launched again, and how many seconds after it failed.

    Attributes:
      most: launches again in a row without progress.
      first_wait: before the first of them.
      factor: from one wait to the next.
      most_wait: no wait is longer.
    """

    most: int = 3
    first_wait: float = 1.0
    factor: float = 2.0
    most_wait: float = 30.0

    def __post_init__(self) -> None:
        if not (self.most >= 0 and 0 <= self.first_wait <= self.most_wait and self.factor >= 1):
            raise ValueError(
                "retries need most >= 0, 0 <= first_wait <= most_wait and factor >= 1, not "
                f"{dataclasses.astuple(self)} for (most, first_wait, factor, most_wait)."
            )

    def wait(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, at least one."""
        return min(self.most_wait, self.first_wait * self.factor ** min(failures - 1, 100))


class Event(NamedTuple):
    """Something that happened to a job.

    Attributes:
      job: its name.
      kind: "started", "failed" (and will be launched again) or "done".
      message: one line for the user; empty where there is nothing to say.
    """

    job: str
    kind: str
    message: str = ""


class _Run:
    """A job on its way through its launches."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.failures = 0
        self.due = 0.0
        self.group: Group | None = None
        self._landmark: Hashable = None
        self._launched_at = 0.0
        self._seen: dict[str, tuple[Hashable, float]] = {}

    def launch(self) -> None:
        self._landmark = self.job.landmark()
        self._launched_at = time.monotonic()
        self._seen = {name: (sign, self._launched_at) for name, sign in self.job.signs().items()}
        self.group = Group(self.job.command, self.job.environment)

    def quiet_seconds(self) -> float:
        """How long ago that sign of life changed which has not changed for the longest time."""
        now, before = time.monotonic(), self._seen
        self._seen = {
            name: before[name] if name in before and before[name][0] == sign else (sign, now)
            for name, sign in self.job.signs().items()
        }
        return now - min((changed for _, changed in self._seen.values()), default=self._launched_at)

    def count_failure(self) -> None:
        self.failures = 1 if self.job.landmark() != self._landmark else self.failures + 1


@dataclasses.dataclass(frozen=True)
class _Supervisor:
    """What is done about one job; see `run_all`."""

    retries: Retries
    hang_seconds: float | None
    stop_seconds: float
    on_event: Callable[[Event], None]

    def launch(self, run: _Run) -> None:
        run.launch()
        self.on_event(Event(run.job.name, "started"))

    def has_ended(self, run: _Run) -> bool:
        """Whether the child has ended, or has to be, because it hangs."""
        assert run.group is not None
        if run.group.poll() is not None:
            return True
        return self.hang_seconds is not None and run.quiet_seconds() > self.hang_seconds

    def settle(self, run: _Run) -> bool:
        """Ends all that is left of a launch; returns whether the job is done.

        Raises:
          ValueError: the child refuses its input.
          JobError: it must not be launched again.
        """
        assert run.group is not None
        job, code, printed = run.job, run.group.poll(), run.group.last_line()
        # What is ended now may complain, too.
        failure = job.failure(self._how(code, printed))
        end_all([run.group], self.stop_seconds)
        if code == BAD_INPUT:
            raise ValueError(printed.removeprefix("error: ") or f"{job.name} was refused without a reason.")
        if job.is_done():
            self.on_event(Event(job.name, "done"))
            return True
        run.count_failure()
        if failure.is_final or not self.retries.most:
            raise JobError(job.name, failure.message)
        if run.failures > self.retries.most:
            raise JobError(job.name, f"{failure.message}; launched {run.failures} times without getting on")
        wait = self.retries.wait(run.failures)
        run.due = time.monotonic() + wait
        again = f"launching it again in {wait:g} s ({run.failures} of {self.retries.most})"
        self.on_event(Event(job.name, "failed", f"{failure.message}; {again}"))
        return False

    def _how(self, code: int | None, printed: str) -> str:
        if code is None:
            return f"showed no sign of life for {self.hang_seconds} s"
        killed = [f"killed by {each.name}" for each in signal.Signals if each == -code]
        ended = f"ended with code {code} before it was done" + (f": {printed}" if printed else "")
        return killed[0] if killed else ended


def run_all(
    jobs: Sequence[Job],
    *,
    at_once: int = 1,
    retries: Retries | None = None,
    hang_seconds: float | None = None,
    poll_seconds: float = 0.5,
    stop_seconds: float = 20.0,
    on_event: Callable[[Event], None] = lambda event: None,
    on_poll: Callable[[], None] = lambda: None,
) -> None:
    """Runs jobs until all are done; those that are done already are left alone.

    Whatever ends it, Ctrl-C and SIGTERM included, no process of a job and no temporary directory is left.

    Args:
      jobs: are begun in this order; one that waits to be launched again leaves its place to the next.
      at_once: how many run side by side.
      retries: of a job whose child has ended before it was done.
      hang_seconds: a child is ended that shows no sign of life for so long; None: never.
      poll_seconds: between two looks at the children.
      stop_seconds: that a child is given to end when it is asked to.
      on_event: is told what happens.
      on_poll: is called at every look.

    Raises:
      ValueError: a child refuses its input, or `at_once` is less than 1.
      JobError: a job failed as often as allowed, or for good.
      KeyboardInterrupt: Ctrl-C or SIGTERM.
    """
    if at_once < 1:
        raise ValueError(f"at least 1 job must run at once, not {at_once}.")
    supervisor = _Supervisor(retries or Retries(), hang_seconds, stop_seconds, on_event)
    waiting, running = [_Run(job) for job in jobs if not job.is_done()], list[_Run]()
    with interruptible():
        try:
            while waiting or running:
                for run in [run for run in waiting if run.due <= time.monotonic()]:
                    if len(running) < at_once:
                        waiting.remove(run)
                        running.append(run)
                        supervisor.launch(run)
                time.sleep(poll_seconds)
                on_poll()
                for run in [run for run in running if supervisor.has_ended(run)]:
                    is_done = supervisor.settle(run)
                    running.remove(run)
                    waiting[:0] = [] if is_done else [run]
        finally:
            end_all([run.group for run in running if run.group is not None], stop_seconds)

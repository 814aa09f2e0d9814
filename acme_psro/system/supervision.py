"""Supervision of jobs: runs their commands, in parallel, and relaunches those that fail or hang.

The progress of a job is on disk, and the job's own functions (`Job.is_done`, `Job.landmark`, `Job.signs`)
read it. A command that is launched again resumes from that progress. The caller itself may be killed at any
time, and may later be started again with the same jobs.
"""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Callable, Hashable, Sequence

from acme_psro.system.executors.base import LOST, Executor, Running
from acme_psro.system.executors.local import LocalExecutor
from acme_psro.system.jobs import BAD_INPUT, LOST_A_PART, Event, Job, JobError
from acme_psro.system.process_groups import end_all, interruptible
from acme_psro.system.retries import Ends, Retries

# Codes of children that were ended from outside: by the system that is short of memory, by a queue that takes
# a machine back, or with their machine.
_LOSSES = (LOST, LOST_A_PART, -signal.SIGKILL, -signal.SIGTERM)


class _Run:
    """State of a job between its first launch and its end.

    Attributes:
      job: the job.
      ends: the ends of the job in a row without progress.
      due: earliest time of the next launch, on the monotonic clock.
      group: the processes of the current launch, or of the last one. None before the first launch.
    """

    def __init__(self, job: Job, executor: Executor) -> None:
        self.job = job
        self._executor = executor
        self.ends = Ends()
        self.due = 0.0
        self.group: Running | None = None
        self._landmark: Hashable = None
        self._launched_at = 0.0
        self._seen: dict[str, tuple[Hashable, float]] = {}

    def launch(self) -> None:
        self._landmark = self.job.landmark()
        self._launched_at = time.monotonic()
        self._seen = {name: (sign, self._launched_at) for name, sign in self.job.signs().items()}
        self.group = self._executor.start(self.job)

    def quiet_seconds(self) -> float:
        """Returns the age in seconds of the oldest sign of life, or of the launch if there are no signs.

        The age of a sign is the time since its value was first seen. The oldest sign counts, because one part
        of a program may hang while the others still make progress.
        """
        now, before = time.monotonic(), self._seen
        if self.group is not None and not self.group.has_begun():
            # It waits for a machine: nothing is heard of it before it runs.
            self._launched_at = now
            before = {}
        self._seen = {
            name: before[name] if name in before and before[name][0] == sign else (sign, now)
            for name, sign in self.job.signs().items()
        }
        return now - min((changed for _, changed in self._seen.values()), default=self._launched_at)

    def count_end(self, is_loss: bool) -> None:
        """Counts an end. Forgets earlier ones if the job has made progress since its last launch."""
        before = Ends() if self.job.landmark() != self._landmark else self.ends
        self.ends = before.add(is_loss)


@dataclasses.dataclass(frozen=True)
class _Supervisor:
    """The rules by which a single job is launched, watched and ended. See `run_all` for the attributes."""

    retries: Retries
    hang_seconds: float | None
    stop_seconds: float
    on_event: Callable[[Event], None]

    def launch(self, run: _Run) -> None:
        run.launch()
        self.on_event(Event(run.job.name, "started"))

    def has_ended(self, run: _Run) -> bool:
        """Returns True if the child has ended, or if it hangs and must be ended."""
        assert run.group is not None
        if run.group.poll() is not None:
            return True
        return self.hang_seconds is not None and run.quiet_seconds() > self.hang_seconds

    def settle(self, run: _Run) -> bool:
        """Ends all processes of a launch, and decides whether the job is done, is relaunched or has failed.

        Returns:
          True if the job is done, False if it must be launched again when `run.due` is reached.

        Raises:
          ValueError: the child rejected its input.
          JobError: the job failed and must not be launched again.
        """
        assert run.group is not None
        job, code, printed = run.job, run.group.poll(), run.group.last_line()
        # The cause is determined first, because processes that are ended below may report errors of their
        # own.
        failure = job.failure(self._describe_end(code, printed))
        end_all([run.group], self.stop_seconds)
        if code == BAD_INPUT:
            raise ValueError(printed.removeprefix("error: ") or f"{job.name} was refused without a reason.")
        # Results on disk count more than the exit code: a child may be killed after its last write.
        if job.is_done():
            self.on_event(Event(job.name, "done"))
            return True
        is_loss = code in _LOSSES
        run.count_end(is_loss)
        given_up = "" if failure.is_final else self.retries.give_up(run.ends)
        if given_up is not None:
            raise JobError(job.name, f"{failure.message}; {given_up}" if given_up else failure.message)
        run.due = time.monotonic() + self.retries.wait(sum(run.ends))
        again = self.retries.describe(run.ends, is_loss)
        self.on_event(Event(job.name, "failed", f"{failure.message}; {again}"))
        return False

    def _describe_end(self, code: int | None, printed: str) -> str:
        # The code is None only if the child was still running, which means that it hung.
        if code is None:
            return f"showed no sign of life for {self.hang_seconds} s"
        if code == LOST:
            return printed
        killed = [f"was killed by {each.name}" for each in signal.Signals if each == -code]
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
    on_failed: Callable[[JobError], None] | None = None,
    executor: Executor | None = None,
) -> None:
    """Runs jobs until all are done. Jobs that are done already are not launched.

    However this function ends, by Ctrl-C and SIGTERM too, no process of a job and no temporary directory is
    left.

    Args:
      jobs: the jobs, in the order of their first launches. While a job waits for its relaunch, the next one
        may take its place.
      at_once: largest number of jobs that run in parallel.
      retries: limits and waiting times of the relaunches of a job whose child ended before the job was done.
        None stands for the defaults of `Retries`.
      hang_seconds: a child is ended and launched again if a sign of life does not change for this long. With
        None, a child is never considered to hang.
      poll_seconds: seconds between two checks of the children.
      stop_seconds: seconds that a child has to end after it was asked to.
      on_event: called with each event.
      on_poll: called once per check, in the thread of the caller.
      on_failed: called with the error of a job that must not be launched again, while the others go on. With
        None, the error is raised and ends the others.
      executor: carries out the commands; None for child processes of this process.

    Raises:
      ValueError: `at_once` is less than 1, or a child rejected its input and there is no `on_failed`.
      JobError: a job failed too often, or in a way that a relaunch cannot mend, and there is no `on_failed`.
      KeyboardInterrupt: Ctrl-C was pressed, or SIGTERM was received.
    """
    if at_once < 1:
        raise ValueError(f"at least 1 job must run at once, not {at_once}.")
    supervisor = _Supervisor(retries or Retries(), hang_seconds, stop_seconds, on_event)
    carrying = executor or LocalExecutor()
    waiting, running = [_Run(job, carrying) for job in jobs if not job.is_done()], list[_Run]()
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
                    is_done = _settle(supervisor, run, on_failed)
                    running.remove(run)
                    # A job that was begun comes before those that were not, so that few are half-finished.
                    waiting[:0] = [] if is_done else [run]
        finally:
            end_all([run.group for run in running if run.group is not None], stop_seconds)


def _settle(supervisor: _Supervisor, run: _Run, on_failed: Callable[[JobError], None] | None) -> bool:
    """Returns True if a job that has ended is over: done, or failed while others go on.

    Raises:
      ValueError: the child rejected its input.
      JobError: the job failed and must not be launched again.
    """
    try:
        return supervisor.settle(run)
    except (ValueError, JobError) as error:
        if on_failed is None:
            raise
        on_failed(error if isinstance(error, JobError) else JobError(run.job.name, str(error)))
        return True

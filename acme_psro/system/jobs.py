"""Jobs: commands that leave their results on disk, and what is told of them while they run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

# The exit code of a command that rejects its input. Launching it again would not help.
BAD_INPUT = 2
# The exit code of a command that lost a part of itself by a cause outside of it, such as a process that was
# killed. Launching it again may well help. It is EX_TEMPFAIL of sysexits.h.
LOST_A_PART = 75


class Failure(NamedTuple):
    """Reason for which a child ended before its job was done.

    Attributes:
      message: one line for the user.
      is_final: True if the job would fail again in the same way, so that it must not be relaunched.
    """

    message: str
    is_final: bool = False


class JobError(RuntimeError):
    """A job has failed and will not be launched again. The message is one line for the user.

    Attributes:
      job: the job's name.
    """

    def __init__(self, job: str, message: str) -> None:
        super().__init__(message)
        self.job = job


@dataclasses.dataclass(frozen=True)
class Job:
    """A command that leaves its results on disk, and is done when they are complete.

    Attributes:
      name: the job's name in events and errors.
      command: the program to run, with its arguments. An exit code of 2 means that the input is bad, and that
        the last line which the program printed gives the reason; for one of 75, see `LOST_A_PART`.
      is_done: returns True if the results are complete. It is called before the first launch, and each time a
        child has ended, with or without an error.
      failure: takes a description of how an unfinished child ended, such as "was killed by SIGKILL", and
        returns the failure to report.
      landmark: returns the point from which another launch would resume, such as the newest checkpoint. If it
        has changed since the last launch, the job has made progress, and earlier failures and losses do not
        count any more.
      signs: returns the signs of life by name: values that change as long as the job is healthy, such as the
        sizes of its tables. Each one must change at least every `hang_seconds`, counted from the launch, or
        from its first appearance if it appeared later.
      environment: environment variables, in addition to those of this process. They take precedence.
      directory: the directory in which the command leaves its results, as the command names it. It travels to
        another machine and back; None if the job runs on this machine only.
      inputs: files and directories that the command reads, as it names them. They travel there.
      marker: name of the file in the directory that says that the results are complete: it comes back last.
    """

    name: str
    command: Sequence[str]
    is_done: Callable[[], bool]
    failure: Callable[[str], Failure] = Failure
    landmark: Callable[[], Hashable] = lambda: None
    signs: Callable[[], Mapping[str, Hashable]] = dict
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    directory: Path | None = None
    inputs: Sequence[Path] = ()
    marker: str = ""


class Event(NamedTuple):
    """Change in the state of a job.

    Attributes:
      job: the job's name.
      kind: "started", "failed" (the job will be launched again) or "done".
      message: one line for the user. Empty except for failures.
    """

    job: str
    kind: str
    message: str = ""

"""Protocol of executors: they start the commands of jobs, and tell how these end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from acme_psro.system.jobs import Job

# The code of a child that was lost together with its machine. The last line says in words what happened.
LOST = -(2**15)


class Running(Protocol):
    """A command that was started, with all processes that it starts itself."""

    def has_begun(self) -> bool:
        """Returns False while the command waits for room on a machine."""

    def poll(self) -> int | None:
        """Returns the exit code, or None while the command runs; -n after a kill by signal n, or `LOST`.

        Once there is a code, all files that the command has left are in the job's directory on this machine.
        """

    def last_line(self) -> str:
        """Returns the last non-empty line that was printed, or "". Must be called before `end`."""

    def ask_to_end(self) -> None:
        """Asks the command to end itself in good order."""

    def end(self, seconds: float) -> None:
        """Waits for the command to end, at most `seconds`, and then kills all of its processes.

        If this call is interrupted, it can be repeated.
        """


class Executor(Protocol):
    """Carrier of the commands of jobs: this machine or a cluster."""

    def start(self, job: Job) -> Running:
        """Starts the command of a job.

        Raises:
          OSError: it cannot be started.
        """

    def room(self, at_once: int) -> int:
        """Returns how many jobs can be carried out side by side, at least 1.

        Args:
          at_once: the number that the user has set for this machine.
        """

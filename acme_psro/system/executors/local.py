"""Executor that carries out jobs as child processes of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acme_psro.system.process_groups import Group

if TYPE_CHECKING:
    from acme_psro.system.jobs import Job


class LocalExecutor:
    """Executor on this machine, see `acme_psro.system.executors.base.Executor`."""

    def start(self, job: Job) -> Group:
        """Starts the command of a job in a process group of its own.

        Raises:
          OSError: the program does not exist or cannot be started.
        """
        return Group(job.command, job.environment)

    def room(self, at_once: int) -> int:
        """Returns the number that the user has set."""
        return at_once

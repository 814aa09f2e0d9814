"""Executor that carries out jobs on the nodes of a Ray cluster.

Each job is carried out by a Ray actor on some node, which holds the same process group as a job of this
machine would be. Its files travel there as bytes, and what changes in its directory comes back every few
seconds, so that those who read the directory on this machine need not know where the job runs. If the node is
lost, the job is launched again from what has come back. Ray ends the actors if this process ends, in whatever
way.
"""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from acme_psro.system import bundles
from acme_psro.system.executors import changes, cluster, losses, paths
from acme_psro.system.executors.base import LOST
from acme_psro.system.executors.host import ROOT, Order, Report
from acme_psro.system.executors.hosts import Place
from acme_psro.system.executors.placing import Placing
from acme_psro.system.jobs import Job

# A report comes after this time, or as soon as the command has ended.
_REPORT_SECONDS = 2.0
# Time beyond the job's own that its node has to answer that it has ended, with its last files.
_ANSWER_SECONDS = 30.0
# Time for which an actor may be out of reach before it counts as lost.
_UNREACHABLE_SECONDS = 30.0
_WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}


class RayExecutor:
    """Executor on a cluster, see `acme_psro.system.executors.base.Executor`.

    Args:
      placing: what each job takes of the cluster, to which this process is connected.
    """

    def __init__(self, placing: Placing) -> None:
        self._placing = placing

    def start(self, job: Job) -> RayJob:
        """Sends a job to the cluster, where it begins as soon as a node has room.

        Raises:
          OSError: one of the job's files cannot be read.
          JobError: this machine has left the cluster.
        """
        with losses.departure_told(job.name):
            return RayJob(job, self._placing)

    def room(self, at_once: int) -> int:
        """Returns how many jobs fit on the cluster, whatever the user has set for this machine."""
        del at_once
        return max(1, cluster.workers_that_fit(self._placing))


class RayJob:
    """A job on some node, see `acme_psro.system.executors.base.Running`.

    Args:
      job: the job.
      placing: what it takes of the cluster.

    Raises:
      OSError: one of the job's files cannot be read.
      JobError: this machine has left the cluster; raised by `poll`.
    """

    def __init__(self, job: Job, placing: Placing) -> None:
        self._name = job.name
        self._directory = None if placing.shared else job.directory
        self._marker = job.marker
        order, files = _make_order(job, placing)
        self._place = Place(placing)
        self._order, self._bundle = order, bundles.pack(files)
        self._starting: Any = None
        self._has_begun = False
        self._awaited: Any = None
        self._acknowledged = 0
        self._code: int | None = None
        self._line = ""
        self._unreachable_since: float | None = None
        self._is_over = False
        self._send()

    def has_begun(self) -> bool:
        """Returns False while no node has room."""
        return self._has_begun

    def poll(self) -> int | None:
        """Returns the exit code, or None while the command runs or waits for room; `LOST` with its node."""
        import ray

        if self._code is None:
            try:
                with losses.departure_told(self._name):
                    self._look()
            except ray.exceptions.ActorUnavailableError as error:
                self._awaited = None
                now = time.monotonic()
                self._unreachable_since = self._unreachable_since or now
                if now - self._unreachable_since > _UNREACHABLE_SECONDS:
                    self._lose(error)
            except ray.exceptions.RayError as error:
                self._lose(error)
        return self._code

    def last_line(self) -> str:
        """Returns the last line that the command has printed, or what happened to its node."""
        return self._line

    def ask_to_end(self) -> None:
        """Asks the command to end itself; one that still waits for room is not started."""
        if self._code is None and self.has_begun():
            self._place.host.ask_to_end.remote()

    def end(self, seconds: float) -> None:
        """Waits for the command to end, at most `seconds`, takes its last files, and ends what is left."""
        import ray

        if self._is_over:
            return
        # Without a beginning there is nothing to wait for, and the files here are the newest. A node that is
        # lost or does not answer has watchdogs of its own, which end what still runs there.
        is_healthy = False
        if self.has_begun() and self._code != LOST:
            with losses.tolerated():
                ending = self._place.host.end.remote(seconds, self._acknowledged)
                self._take(ray.get(ending, timeout=seconds + _ANSWER_SECONDS))
                is_healthy = True
        self._place.leave(is_healthy)
        self._is_over = True

    def _look(self) -> None:
        """Takes the next report if it is there, and asks for another one."""
        import ray

        if not self._has_begun and not self._begin():
            return
        # A host was out of reach for a while.
        if self._awaited is None:
            self._awaited = self._ask()
        if not ray.wait([self._awaited], timeout=0)[0]:
            return
        report = ray.get(self._awaited)
        self._awaited = self._unreachable_since = None
        self._take(report)
        self._code = report.code
        if self._code is None:
            self._awaited = self._ask()

    def _send(self) -> None:
        """Sends the job to a host if there is one, and asks for the first report."""
        if self._starting is None and self._place.find_host():
            self._starting = self._place.host.start.remote(self._order, self._bundle)
            self._awaited = self._ask(self._starting)

    def _begin(self) -> bool:
        """Sends the job to a host as soon as there is one. Returns True once its command runs."""
        import ray

        self._send()
        if self._starting is None:
            return False
        if not ray.wait([self._starting], timeout=0)[0]:
            return False
        try:
            ray.get(self._starting)
        except ray.exceptions.ActorDiedError:
            if not self._place.is_used:
                raise
            # It was lost while it had no job, of which this one knows nothing.
            self._place.replace_host()
            self._starting = None
            return False
        self._has_begun, self._bundle = True, b""
        return True

    def _ask(self, after: Any = None) -> Any:
        """Asks for the next report, which may have to wait for a call, and returns the reference to it."""
        return self._place.host.report.remote(_REPORT_SECONDS, self._acknowledged, after)

    def _take(self, report: Report) -> None:
        """Writes what has changed into the job's directory on this machine."""
        self._line = report.line
        if self._directory is not None:
            changes.apply(self._directory, bundles.unpack(report.changed), report.removed, self._marker)
        self._acknowledged = report.number

    def _lose(self, error: Exception) -> None:
        self._code, self._line = LOST, losses.describe(error)


def _make_order(job: Job, placing: Placing) -> tuple[Order, dict[str, bytes]]:
    """Returns the command of a job, and the files that travel with it."""
    named, files = list[Path](), dict[str, bytes]()
    if job.directory is not None and not placing.shared:
        changes.tidy(job.directory)
        named = paths.travelling(job.directory, job.inputs)
        for path in (job.directory, *job.inputs):
            files |= _read(path)
    order = Order(
        command=tuple(job.command),
        # Ray lets the processes of a host, which itself takes no core, compute with one thread.
        environment={
            "OMP_NUM_THREADS": f"{max(1, math.floor(placing.cpus_per_response))}",
            # Newer versions of Ray show a node's GPUs to those that have asked for none, too.
            **({} if placing.gpus_per_response else _WITHOUT_GPU),
            **job.environment,
        },
        python=sys.executable,
        root=ROOT,
        named=tuple(map(str, named)),
        directory=str(job.directory) if named else "",
        marker=job.marker,
        current=os.getcwd() if placing.shared else "",
    )
    return order, files


def _read(path: Path) -> dict[str, bytes]:
    """Returns the content of a file, or of a directory's files, by their place in a scratch directory."""
    place = paths.place_of(path)
    if path.is_dir():
        return {f"{place}/{name}": data for name, data in changes.read_files(path).items()}
    return {place: path.read_bytes()} if path.exists() else {}

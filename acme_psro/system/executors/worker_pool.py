"""Workers on a Ray cluster that stay as long as a run, and answer requests one after the other.

A worker is a Ray actor: a process on some node, which is prepared once. If it is lost, with its node or
alone, what it had not answered is asked again of another one. Answers depend on requests alone: it does not
matter which worker gives them, or how often they are asked for.

Everything that happens is an event, and one thread handles all events in turn. So no state needs a lock.
"""

from __future__ import annotations

import collections
import functools
import itertools
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from acme_psro.system.executors import cluster
from acme_psro.system.executors.placing import Placing
from acme_psro.system.executors.pool_workers import Job, PoolWorker, WorkersLostError, describe

# How often one request may be asked again after its worker was lost.
_MOST_LOSSES = 3
# Seconds before the next worker is started after one was lost; doubled while no other request is answered.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_CLOSED = "the workers on the Ray cluster were closed"


class WorkerPool:
    """Workers that are started when requests wait, as many as the cluster has room for; to be closed.

    Args:
      placing: what each worker takes of the cluster, to which this process is connected.
      make: makes the function that answers requests, in the worker's process. It is a function of a module,
        which the workers find by its name.
      arguments: of `make`. Each travels to a node once.
      most: the largest number of workers; None for as many as there is room for.
      ahead: requests that a worker has at once, so that it need not wait for the next one.
      patience: seconds without any worker after which requests fail.
    """

    def __init__(
        self,
        placing: Placing,
        make: Callable[..., Callable[..., Any]],
        arguments: Sequence[Any] = (),
        most: int | None = None,
        ahead: int = 1,
        patience: float = 600.0,
    ) -> None:
        import ray

        self._placing, self._make, self._most, self._ahead = placing, make, most, ahead
        self._patience = patience
        self._arguments = [ray.put(argument) for argument in arguments]
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._waiting: collections.deque[Job] = collections.deque()
        self._workers: dict[int, PoolWorker] = {}
        self._numbers = itertools.count()
        self._losses, self._next_start, self._last_seen = 0, 0.0, time.monotonic()
        self._fitting, self._asked = 0, -math.inf
        self._failure: BaseException | None = None
        # No event comes after the one that closes the pool.
        self._is_closed, self._closing = False, threading.Lock()
        self._thread = threading.Thread(target=self._handle_events, daemon=True)
        self._thread.start()

    def submit(self, *request: Any) -> Future[Any]:
        """Returns the future answer to a request.

        It raises what the function raises, or a `WorkersLostError` if workers are lost too often.

        Args:
          request: arguments of the function, data or references to what is in Ray's object store.
        """
        job = Job(request)
        with self._closing:
            if self._is_closed:
                job.fail(WorkersLostError(_CLOSED))
            else:
                self._events.put(functools.partial(self._add, job))
        return job.answer

    def start(self, number: int) -> None:
        """Starts workers before there are requests for them, as far as the cluster has room."""
        self._events.put(functools.partial(self._grow, number))

    def describe(self) -> list[str]:
        """Returns one line on the workers; none if there are none."""
        return describe(list(self._workers.values()), len(self._waiting))

    def close(self) -> None:
        """Ends all workers. Requests that are not answered yet fail."""
        with self._closing:
            if not self._is_closed:
                self._is_closed = True
                self._events.put(functools.partial(self._fail, WorkersLostError(_CLOSED)))
        self._thread.join()

    def _handle_events(self) -> None:
        while True:
            try:
                event = self._events.get(timeout=self._seconds_to_wait())
            except queue.Empty:
                event = self._check_patience
            try:
                event()
                self._assign()
            except BaseException as error:
                # Nobody else could tell those who wait for answers.
                self._fail(error)
            if self._is_closed and self._failure is not None and self._events.empty():
                return

    def _seconds_to_wait(self) -> float | None:
        """Returns the seconds after which something is to be done even if nothing happens."""
        if not self._waiting:
            return None
        return min(1.0, max(self._next_start - time.monotonic(), 0.01))

    def _add(self, job: Job) -> None:
        if self._failure is not None:
            job.fail(self._failure)
            return
        if not self._waiting and not self._is_any_ready():
            self._last_seen = time.monotonic()
        self._waiting.append(job)

    def _assign(self) -> None:
        """Gives waiting requests to workers that are free, and starts more workers if there are too few."""
        while self._waiting:
            free = [
                worker
                for worker in self._workers.values()
                if worker.node is not None and len(worker.jobs) < self._ahead
            ]
            if not free:
                break
            worker, job = min(free, key=lambda each: len(each.jobs)), self._waiting.popleft()
            self._when_done(worker.ask(job), self._end, worker, job)
        if self._waiting:
            busy = sum(len(worker.jobs) for worker in self._workers.values())
            self._grow(len(self._waiting) + busy)

    def _grow(self, number: int) -> None:
        """Starts workers until there are so many, or as many as the cluster has room for."""
        lacking = (number if self._most is None else min(number, self._most)) - len(self._workers)
        if lacking <= 0 or self._failure is not None or time.monotonic() < self._next_start:
            return
        lacking = min(lacking, self._room() - len(self._workers))
        for _ in range(lacking):
            worker = PoolWorker(next(self._numbers), self._placing)
            self._workers[worker.number] = worker
            self._when_done(worker.start(self._make, self._arguments), self._join, worker)

    def _room(self) -> int:
        """Returns how many workers fit on the cluster, which is asked once a second at most."""
        now = time.monotonic()
        if now - self._asked > 1.0:
            self._asked, self._fitting = now, cluster.workers_that_fit(self._placing)
        return self._fitting

    def _when_done(self, future: Future[Any], handle: Callable[..., None], *arguments: Any) -> None:
        """Makes it an event that a future is done."""
        future.add_done_callback(lambda done: self._events.put(functools.partial(handle, *arguments, done)))

    def _join(self, worker: PoolWorker, ready: Future[str]) -> None:
        """Takes a worker in that is ready, or gives it up."""
        error = ready.exception()
        if error is None:
            worker.node, self._last_seen = ready.result(), time.monotonic()
        elif PoolWorker.is_loss(error):
            self._lose(worker)
        else:
            cause = PoolWorker.cause_of(error)
            # A ValueError tells what is wrong with the node; anything else is a bug, to be seen in full.
            refused = WorkersLostError(f"a worker on the Ray cluster cannot start: {cause}")
            self._fail(refused if isinstance(cause, ValueError) else cause)

    def _end(self, worker: PoolWorker, job: Job, answer: Future[Any]) -> None:
        """Passes an answer on, or asks again if the worker is lost."""
        error = answer.exception()
        if error is not None and PoolWorker.is_loss(error):
            self._lose(worker)
            return
        if job not in worker.jobs:
            return
        worker.jobs.remove(job)
        worker.answered += 1
        self._losses, self._next_start, self._last_seen = 0, 0.0, time.monotonic()
        if error is None:
            job.succeed(answer.result())
        else:
            job.fail(PoolWorker.cause_of(error))

    def _lose(self, worker: PoolWorker) -> None:
        """Gives a worker up, and its requests to others."""
        if self._workers.pop(worker.number, None) is None:
            return
        worker.end()
        pause = min(_FIRST_PAUSE * 2.0**self._losses, _LONGEST_PAUSE)
        self._losses, self._next_start = self._losses + 1, time.monotonic() + pause
        for job in reversed(worker.jobs):
            job.losses += 1
            if job.losses > _MOST_LOSSES:
                job.fail(
                    WorkersLostError(
                        f"workers on the Ray cluster were lost {job.losses} times with the same request: see "
                        "whether their memory runs out"
                    )
                )
            else:
                self._waiting.appendleft(job)

    def _check_patience(self) -> None:
        if self._waiting and not self._is_any_ready():
            without = time.monotonic() - self._last_seen
            if without > self._patience:
                raise WorkersLostError(
                    f"the Ray cluster has had no worker for {math.floor(without)} s: see what runs there"
                )

    def _is_any_ready(self) -> bool:
        return any(worker.node is not None for worker in self._workers.values())

    def _fail(self, error: BaseException) -> None:
        """Ends all workers and fails all requests, those that are still to come among them."""
        self._failure = self._failure or error
        jobs = [*self._waiting, *(job for worker in self._workers.values() for job in worker.jobs)]
        self._waiting.clear()
        for worker in self._workers.values():
            worker.end()
        self._workers = {}
        for job in jobs:
            job.fail(self._failure)

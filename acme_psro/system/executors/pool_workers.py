"""One worker of a pool on a Ray cluster, seen from the process that asks and from its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any

from acme_psro.system import jax_settings
from acme_psro.system.executors.placing import Placing

# A worker that shares a GPU leaves some of its part to what JAX does not count.
_SHARE_OF_MEMORY = 0.9


class WorkersLostError(RuntimeError):
    """Workers were lost too often, or cannot start; the message is one line for the user."""


class Job:
    """A request and its future answer.

    Attributes:
      request: arguments of the workers' function.
      answer: what it returns.
      losses: how often a worker was lost with it.
    """

    def __init__(self, request: tuple[Any, ...]) -> None:
        self.request = request
        self.answer: Future[Any] = Future()
        self.losses = 0

    def succeed(self, answer: Any) -> None:
        """Passes the answer to the one who waits for it, if anyone still does."""
        with contextlib.suppress(InvalidStateError):
            self.answer.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """Raises an error where the answer is waited for, unless it is there already."""
        with contextlib.suppress(InvalidStateError):
            self.answer.set_exception(error)


class PoolWorker:
    """A worker of a pool, as the process that asks sees it.

    Args:
      number: the worker's number in its pool.
      placing: what it takes of the cluster.

    Attributes:
      node: the node where it is; None as long as it is not ready.
      jobs: requests that it has and has not answered yet.
      answered: the number of requests that it has answered.
    """

    def __init__(self, number: int, placing: Placing) -> None:
        import ray

        self.number, self._gpus = number, placing.gpus_per_response
        self.node: str | None = None
        self.jobs: list[Job] = []
        self.answered = 0
        # Ray itself restarts nothing: it would wait for room while other workers are free.
        options = {"max_restarts": 0, "max_task_retries": 0, "num_cpus": placing.cpus_per_response}
        self._actor = ray.remote(_Host).options(num_gpus=self._gpus, **options).remote()

    def start(self, make: Callable[..., Any], arguments: Sequence[Any]) -> Future[str]:
        """Returns the future name of the worker's node, which is known when it is ready."""
        ready: Future[str] = self._actor.start.remote(self._gpus, make, *arguments).future()
        return ready

    def ask(self, job: Job) -> Future[Any]:
        """Returns the future answer of this worker to a request."""
        self.jobs.append(job)
        answer: Future[Any] = self._actor.answer.remote(*job.request).future()
        return answer

    def end(self) -> None:
        """Ends the worker's process, whatever it does."""
        import ray

        ray.kill(self._actor)

    @staticmethod
    def is_loss(error: BaseException) -> bool:
        """Returns True if an error says that a worker is lost, and False if its function raised it."""
        from ray.exceptions import RayError, RayTaskError

        return isinstance(error, RayError) and not isinstance(error, RayTaskError)

    @staticmethod
    def cause_of(error: BaseException) -> BaseException:
        """Returns what a worker's function raised, as it raised it."""
        from ray.exceptions import RayTaskError

        if isinstance(error, RayTaskError) and isinstance(error.cause, BaseException):
            return error.cause
        return error


class _Host:
    """A worker's process."""

    def start(self, gpus: float, make: Callable[..., Callable[..., Any]], *arguments: Any) -> str:
        """Prepares the process and returns the name of its node."""
        import ray

        jax_settings.use_defaults()
        if not gpus:
            os.environ["JAX_PLATFORMS"] = "cpu"
        elif gpus < 1:
            os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{_SHARE_OF_MEMORY * gpus:.3f}"
        self._answer = make(*arguments)
        return ray.get_runtime_context().get_node_id()

    def answer(self, *request: Any) -> Any:
        """Returns the answer to a request."""
        return self._answer(*request)


def describe(workers: Sequence[PoolWorker], waiting: int) -> list[str]:
    """Returns one line on the workers of a pool and on the requests that wait for them, or none."""
    if not workers:
        return ["waiting for room on the Ray cluster"] if waiting else []
    ready = [worker for worker in workers if worker.node is not None]
    nodes = len({worker.node for worker in ready})
    compiling = sum(1 for worker in ready if worker.jobs and not worker.answered)
    counts = (
        (len(workers) - len(ready), "starting"),
        (compiling, "compiling for the first request"),
        (waiting, "waiting requests"),
    )
    parts = [f"{number} {doing}" for number, doing in counts if number]
    where = f"{_count(len(ready), 'worker')} on {_count(nodes, 'node')} of the Ray cluster"
    return [", ".join([where, *parts])]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

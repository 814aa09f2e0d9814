"""Losses of a cluster's nodes and worker processes, as Ray tells them.

Ray is imported by the functions alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from acme_psro.system.jobs import JobError


def has_left(error: OSError) -> bool:
    """Returns True if an error is that of Ray on a machine whose own node has ended."""
    # Ray's error comes without the number that the system's own errors have.
    return error.errno is None and "pipe" in str(error).lower()


def is_loss(error: Exception) -> bool:
    """Returns True if an error says that something was lost with its process or its machine.

    It is False for errors of the code that ran there.
    """
    from ray import exceptions

    if isinstance(error, exceptions.RayActorError):
        return not error.actor_init_failed
    if isinstance(error, OSError):
        return has_left(error)
    return isinstance(error, exceptions.RayError) and not isinstance(error, exceptions.RayTaskError)


def describe(error: Exception) -> str:
    """Returns what happened to a job's node, as the end of a sentence."""
    from ray import exceptions

    if isinstance(error, exceptions.RayTaskError):
        reason = " ".join(str(error.cause).split())
        return f"could not begin on its node: {type(error.cause).__name__}: {reason}"
    if isinstance(error, exceptions.ActorUnavailableError):
        return "was lost: its Ray node is out of reach"
    if "low on memory" in str(error):
        return "was lost: Ray ended its worker process, as its node is short of memory"
    return "was lost with its Ray node or its worker process there"


@contextlib.contextmanager
def tolerated() -> Iterator[None]:
    """Context manager that ends early, without an error, if a node is lost: a job's or this machine's own."""
    from ray import exceptions

    try:
        yield
    except exceptions.RayError:
        pass
    except OSError as error:
        if not has_left(error):
            raise


@contextlib.contextmanager
def departure_told(job: str) -> Iterator[None]:
    """Context manager that turns Ray's error on a machine that has left the cluster into an error of a job.

    Args:
      job: the job's name.

    Raises:
      JobError: this machine has left the cluster.
    """
    try:
        yield
    except OSError as error:
        if not has_left(error):
            raise
        message = "the Ray node of this machine has ended, so that this machine has left the cluster"
        raise JobError(job, message) from None

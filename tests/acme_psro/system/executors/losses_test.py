"""Tests of what counts as a loss, without a cluster."""

from __future__ import annotations

import errno

import pytest

from acme_psro.system.executors import losses
from acme_psro.system.jobs import JobError

exceptions = pytest.importorskip("ray.exceptions")

FAILED = exceptions.RayTaskError("function", "traceback", ValueError("no such game"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (exceptions.ActorDiedError(), True),
        (exceptions.ActorUnavailableError("out of reach", None), True),
        (exceptions.LocalRayletDiedError(), True),
        (OSError("Broken pipe"), True),
        (FAILED, False),
        (exceptions.ActorDiedError(FAILED), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), False),
        (ValueError("broken pipe"), False),
    ],
)
def test_what_failed_by_itself_is_no_loss(error: Exception, expected: bool) -> None:
    assert losses.is_loss(error) is expected


def test_a_lack_of_memory_is_told() -> None:
    lack = exceptions.RayActorError(error_msg="The task was killed as the node was running low on memory.")
    assert losses.describe(lack).endswith("as its node is short of memory")
    assert losses.describe(exceptions.ActorDiedError()).startswith("was lost with its Ray node")
    assert losses.describe(FAILED) == "could not begin on its node: ValueError: no such game"


def test_losses_are_tolerated_and_other_errors_are_not() -> None:
    for lost in (exceptions.ActorDiedError(), OSError("Broken pipe")):
        with losses.tolerated():
            raise lost
    with pytest.raises(OSError, match="No space left"), losses.tolerated():
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_machine_that_has_left_the_cluster_is_told_once() -> None:
    expected = pytest.raises(JobError, match="this machine has left the cluster")
    with expected as caught, losses.departure_told("job"):
        raise OSError("Broken pipe")
    assert caught.value.job == "job"

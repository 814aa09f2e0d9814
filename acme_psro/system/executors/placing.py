"""Choice of the machines on which the work of a run is carried out.

It is no part of a run's configuration: results do not depend on it, and a run may be resumed with another.
"""

from __future__ import annotations

import dataclasses
import math
import re

EXECUTORS = ("local", "ray")
# Systems on which programs of agents are built.
PROGRAMS = ("launchpad", "ray")
# The address that stands for the cluster to which this machine belongs.
AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class Placing:
    """The executor of a run's jobs, and what each job takes of a cluster.

    Attributes:
      executor: "local" for processes of this machine, "ray" for a Ray cluster.
      ray_address: the cluster's address, `HOST:PORT`, or "auto" for the one that runs on this machine.
      cpus_per_response: CPU cores that a job takes, by Ray's count; fractions are allowed.
      gpus_per_response: GPUs that a job takes, by Ray's count: a fraction of one, or a whole number.
      shared: True if all machines see the run's directory under the same path, so that no files need to
        travel.

    Raises:
      ValueError: a value is not allowed; the message is one line that names the flag.
    """

    executor: str = "local"
    ray_address: str = AUTO
    cpus_per_response: float = 1.0
    gpus_per_response: float = 0.0
    shared: bool = False

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise ValueError(f"--executor must be {' or '.join(EXECUTORS)}, not {self.executor!r}.")
        if self.ray_address != AUTO and not _is_address(self.ray_address):
            raise ValueError(
                f"--ray_address must be auto or HOST:PORT, such as 10.0.0.1:6379, not {self.ray_address!r}."
            )
        if not 0 < self.cpus_per_response < math.inf:
            raise ValueError(f"--cpus_per_response must be above 0, not {self.cpus_per_response}.")
        if not 0 <= self.gpus_per_response < math.inf:
            raise ValueError(f"--gpus_per_response must be at least 0, not {self.gpus_per_response}.")
        # Ray shares one GPU among several jobs, but gives no job one and a half.
        if self.gpus_per_response > 1 and self.gpus_per_response % 1:
            raise ValueError(
                "--gpus_per_response must be a fraction of one GPU or a whole number, not "
                f"{self.gpus_per_response}."
            )

    @property
    def is_remote(self) -> bool:
        """True if jobs are carried out on a cluster."""
        return self.executor == "ray"

    @property
    def jobs_per_gpu(self) -> int:
        """The number of jobs that share a GPU and its memory."""
        return math.floor(1 / self.gpus_per_response) if 0 < self.gpus_per_response < 1 else 1


# Everything is carried out on this machine.
LOCAL = Placing()


def _is_address(text: str) -> bool:
    """Returns True for `HOST:PORT`, with a name, an IPv4 address or a bracketed IPv6 address as the host."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*):(\d{1,5})", text, re.ASCII)
    return found is not None and 0 < int(found[2]) < 2**16

"""Seconds until the result of a job that does nothing is back, on a Ray cluster and on this machine.

python -m experiments.benchmarks.executor_cost --jobs=12

Jobs follow one another, so that each one waits for no other. Those on the cluster and those on this machine
alternate, so that both suffer if the machine is busy. The first job on each node also starts a process there;
it is reported apart. The cluster of two nodes on this machine is started for the measurement, unless
--ray_address names another one.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from acme_psro.commands import command_line
from acme_psro.system.executors import cluster
from acme_psro.system.executors.base import Executor
from acme_psro.system.executors.choose import make_executor
from acme_psro.system.executors.local import LocalExecutor
from acme_psro.system.executors.placing import Placing
from acme_psro.system.jobs import Job
from acme_psro.system.supervision import run_all
from experiments.benchmarks.shared import table

flags.DEFINE_integer("jobs", 12, "Jobs on each side; medians are reported.")
flags.DEFINE_string("ray_address", "", "HOST:PORT of a cluster; a cluster on this machine if empty.")

FLAGS = flags.FLAGS

_MOST_SECONDS = 1.0
# Between two looks at a job; runs look every half second.
_POLL_SECONDS = 0.05
_NODES, _STORE_BYTES = 2, 100 * 2**20
# Python starts in hundredths of a second without the packages and the user's settings.
_COMMAND = (sys.executable, "-I", "-S", "-c", "import sys; open(sys.argv[1] + '/done', 'w').close()")


def main() -> None:
    """Carries out the jobs and prints their seconds."""
    with command_line.bad_input():
        table.check_counts("jobs")
    table.print_machine()
    with _address() as address, tempfile.TemporaryDirectory() as place:
        remote, local = make_executor(Placing("ray", address)), LocalExecutor()
        first = [measure(remote, Path(place, f"first_{number}")) for number in range(_NODES)]
        here, there = list[float](), list[float]()
        for number in range(FLAGS.jobs):
            here.append(measure(local, Path(place, f"here_{number}")))
            there.append(measure(remote, Path(place, f"there_{number}")))
        cluster.disconnect()
    print("first jobs on the cluster   " + "  ".join(f"{seconds:.2f} s" for seconds in first))
    for name, seconds in (("this machine", here), ("cluster", there)):
        print(f"{name:<13} median {statistics.median(seconds):.2f} s   largest {max(seconds):.2f} s")
    cost = statistics.median(there) - statistics.median(here)
    print(f"the cluster costs {cost:.2f} s a job (less than {_MOST_SECONDS:g} s is asked for)")


def measure(executor: Executor, directory: Path) -> float:
    """Returns the seconds from the order of a job that does nothing to the presence of its result.

    Args:
      executor: carries out the job.
      directory: a directory of the job's own, which is made.
    """
    directory.mkdir()
    done = directory / "done"
    job = Job(directory.name, (*_COMMAND, str(directory)), done.exists, directory=directory, marker=done.name)
    started = time.monotonic()
    run_all([job], executor=executor, poll_seconds=_POLL_SECONDS)
    return time.monotonic() - started


@contextlib.contextmanager
def _address() -> Iterator[str]:
    """Context manager that provides the address of the cluster, which it may start and end."""
    if FLAGS.ray_address:
        yield FLAGS.ray_address
        return
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(_NODES):
            started.add_node(num_cpus=1, object_store_memory=_STORE_BYTES)
        started.wait_for_nodes()
        yield started.address
    finally:
        started.shutdown()


if __name__ == "__main__":
    command_line.run(main)

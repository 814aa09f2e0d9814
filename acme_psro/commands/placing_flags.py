"""Flags that choose the machines on which a run's work is carried out."""

from __future__ import annotations

from absl import flags

from acme_psro.commands import command_line
from acme_psro.system.executors.placing import AUTO, EXECUTORS, Placing

flags.DEFINE_string(
    "executor", "local", f"What carries out responses, programs and simulation: {', '.join(EXECUTORS)}."
)
flags.DEFINE_string(
    "ray_address",
    AUTO,
    "Address of the Ray cluster, HOST:PORT; by default the one that runs on this machine.",
)
flags.DEFINE_float("cpus_per_response", 1.0, "CPU cores of the cluster that a response or program takes.")
flags.DEFINE_float("gpus_per_response", 0.0, "GPUs of the cluster that a response or program takes.")
flags.DEFINE_boolean(
    "shared_directory",
    False,
    "All machines of the cluster see the run's directory under the same path, so that no files travel.",
)

FLAGS = flags.FLAGS

_NEEDS_CLUSTER = ("ray_address", "cpus_per_response", "gpus_per_response", "shared_directory")


def read_placing(is_on_ray: bool = False) -> Placing:
    """Returns the choice that the flags describe. No cluster is asked.

    Args:
      is_on_ray: True if Ray carries out the run in any case, so that an address alone names the cluster.

    Raises:
      ValueError: a flag has an invalid value, or has no effect.
    """
    is_implied = (
        is_on_ray and command_line.was_given("ray_address") and not command_line.was_given("executor")
    )
    placing = Placing(
        executor="ray" if is_implied else FLAGS.executor,
        ray_address=FLAGS.ray_address.strip(),
        cpus_per_response=FLAGS.cpus_per_response,
        gpus_per_response=FLAGS.gpus_per_response,
        shared=FLAGS.shared_directory,
    )
    if not placing.is_remote:
        command_line.check_used(dict.fromkeys(_NEEDS_CLUSTER, "--executor=ray"))
    return placing

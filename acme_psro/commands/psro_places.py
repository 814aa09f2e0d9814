"""Places of `acme-psro run`: the directory in which a run writes, and the devices on which it trains.

The flags are those of `acme_psro.commands.psro_flags`.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from acme_psro.commands import command_line
from acme_psro.population_runs.programs import check_devices
from acme_psro.population_runs.seed_directories import directory_of
from acme_psro.system.executors.placing import LOCAL, Placing

FLAGS = flags.FLAGS


def find_devices(placing: Placing = LOCAL) -> tuple[int, ...] | None:
    """Returns the numbers of the devices that the user named; None for all.

    It must not be called before JAX may start.

    Args:
      placing: the machines on which responses are trained.

    Raises:
      ValueError: the flag names no numbers, a device that is not there, or devices of this machine although
        the work is carried out elsewhere.
    """
    if FLAGS.devices is None:
        return None
    try:
        numbers = tuple(int(number) for number in FLAGS.devices.split(","))
    except ValueError:
        raise ValueError(
            f"--devices must be numbers of devices, such as 0,1, not {FLAGS.devices!r}."
        ) from None
    check_devices(numbers, placing)
    # Imported here, because runs with exact responses do without JAX.
    from acme_psro.oracles.device import lanes

    lanes.find_devices(numbers)
    return numbers


def first_directory() -> Path:
    """Returns the run's directory, or that of the first of several seeds.

    Raises:
      ValueError: the flag names the home directory of a user who does not exist.
    """
    root = output_directory()
    return root if FLAGS.num_seeds == 1 else directory_of(root, FLAGS.seed)


def output_directory() -> Path:
    """Returns the directory of the run, or of all seeds.

    Raises:
      ValueError: the flag names the home directory of a user who does not exist.
    """
    loop = "" if FLAGS.loop == "psro" else f"{FLAGS.loop}-"
    last = f"_to_{FLAGS.seed + FLAGS.num_seeds - 1}" if FLAGS.num_seeds > 1 else ""
    name = f"{command_line.file_name_of(FLAGS.game)}-{loop}{FLAGS.oracle}-{FLAGS.seed}{last}"
    return command_line.output_directory(FLAGS.output_dir, name)

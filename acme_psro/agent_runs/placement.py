"""Accelerators that a learner sees, its share of their memory, and the limit on the number of actors.

JAX is not imported here, because it claims every accelerator that it sees. The devices are counted in a
separate process instead.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Sequence

from acme_psro.system import cores

_VISIBLE = "CUDA_VISIBLE_DEVICES"
# With more actors than this, the actors wait for each other and are no faster. Each actor also takes half
# a GiB of memory.
_MOST_ACTORS_PER_CORE = 8
# Fraction of a device's memory that JAX allocates at its start by default.
_USUAL_FRACTION = 0.75
# Variables with which users change this default. JAX raises an error if both fractions are set.
_FRACTIONS = ("XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION")
_CHOICES = (*_FRACTIONS, "XLA_PYTHON_CLIENT_PREALLOCATE", "XLA_PYTHON_CLIENT_ALLOCATOR")
# Environment variables of all processes but the learner's. Actors choose actions for small batches, for which
# one thread is enough, and the accelerators are reserved for the learner.
ON_CPU = {
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
_LIST = """
import jax
print(";".join(device.device_kind for device in jax.local_devices()))
"""
_COUNT = """
import jax
try:
    print(len(jax.local_devices(backend="cuda")))
except RuntimeError:
    print(0)
"""


def parse(devices: str) -> tuple[int, ...]:
    """Parses a list of device numbers such as "0,1".

    Args:
      devices: numbers joined by commas; "" is the empty list.

    Returns:
      The numbers, in the given order.

    Raises:
      ValueError: the string is not such a list, or it names a device twice.
    """
    if not re.fullmatch(r"(\d+(,\d+)*)?", devices, re.ASCII):
        raise ValueError(
            f"--learner_devices must be numbers of devices joined by commas, such as 0,1, not {devices!r}."
        )
    numbers = tuple(int(number) for number in devices.split(",") if number)
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"--learner_devices names a device twice: {devices!r}.")
    return numbers


def check(devices: str) -> None:
    """Checks that the devices exist.

    Args:
      devices: as `parse` takes it, with the numbers that JAX uses in this process's environment.

    Raises:
      ValueError: the string is invalid, or a device does not exist.
    """
    asked = parse(devices)
    if not asked:
        return
    shown = _count_devices()
    missing = [number for number in asked if number >= shown]
    if missing and shown:
        raise ValueError(
            f"--learner_devices={devices} asks for device {missing[0]}, but JAX shows {shown} CUDA "
            f"device{'s' if shown > 1 else ''} here, numbered from 0."
        )
    if missing:
        raise ValueError(
            f"--learner_devices={devices} asks for CUDA devices, but JAX shows none here: leave it out."
        )


def check_counted_by_ray(devices: str) -> None:
    """Checks that no devices of this machine are named for programs that run on a cluster.

    Args:
      devices: as `parse` takes it.

    Raises:
      ValueError: devices are named.
    """
    if devices:
        raise ValueError(
            "--learner_devices counts devices of this machine: with --executor=ray, give --gpus_per_response."
        )


def name_devices(kinds: Sequence[str]) -> str:
    """Names devices in a few words, such as `cpu` or `2 x NVIDIA H100`.

    Args:
      kinds: kind of each device, as JAX names it.
    """
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    return ", ".join(kind if count == 1 else f"{count} x {kind}" for kind, count in counts.items())


def foresee_devices(devices: str) -> str:
    """Names the devices that a learner in another process will see, without claiming any of them.

    Args:
      devices: devices that the learner is restricted to, as `parse` takes it; "" means all devices.
    """
    if devices:
        return f"CUDA {'devices' if ',' in devices else 'device'} {devices}"
    # JAX finds accelerators by its plug-ins. Without any, there is no need to ask it, which takes seconds.
    plugins = [name for name in ("jax_plugins", "libtpu") if importlib.util.find_spec(name) is not None]
    if not plugins or os.environ.get("JAX_PLATFORMS") == "cpu":
        return "cpu"
    listed = _ask_jax(_LIST)
    return name_devices(listed.split(";")) if listed else "the devices that JAX finds"


def check_actors(flag: str, actors: int, programs: int = 1) -> None:
    """Checks that this machine has enough cores for the actors.

    Args:
      flag: name of the flag that sets the number of actors, for the error message.
      actors: number of actors of each program.
      programs: number of programs that run at the same time.

    Raises:
      ValueError: there are too many actors for the cores of this machine.
    """
    available = cores.count()
    most = _MOST_ACTORS_PER_CORE * available // programs
    if actors > max(most, 1):
        beside = f" in each of {programs} programs side by side" if programs > 1 else ""
        raise ValueError(
            f"--{flag}={actors} asks for {actors} actors{beside} on {available} cores: give at most "
            f"{max(most, 1)}, and more --games_per_actor."
        )


def environment(devices: str, sharing: int = 1) -> dict[str, str]:
    """Returns environment variables for the learner's process.

    They must be set before JAX looks for devices in that process.

    Args:
      devices: devices that the learner sees, with the numbers that JAX uses in this process's environment;
        "" means all devices.
      sharing: largest number of learners that use the same devices at the same time. JAX's default fraction
        of the memory is split between them, unless the user has configured JAX's memory.

    Returns:
      The variables to add, by name.

    Raises:
      ValueError: `devices` is invalid, see `parse`.
    """
    variables = {}
    if devices:
        variables[_VISIBLE] = ",".join(_names(parse(devices)))
    if sharing > 1 and not any(name in os.environ for name in _CHOICES):
        variables[_FRACTIONS[0]] = f"{_USUAL_FRACTION / sharing:.3f}"
    return variables


def assign(devices: str, programs: int) -> list[str]:
    """Assigns devices to the learners of several programs.

    Args:
      devices: as `parse` takes it.
      programs: number of programs.

    Returns:
      For each program the devices that its learner sees. The given devices are assigned one per program, in
      turn; if no devices are given, every learner sees all of them, written "".

    Raises:
      ValueError: `devices` is invalid, see `parse`.
    """
    numbers = parse(devices)
    if not numbers:
        return [""] * programs
    return [str(numbers[program % len(numbers)]) for program in range(programs)]


def count_sharing(assigned: Sequence[str], at_once: int) -> list[int]:
    """Counts for each program the learners that may use its devices at the same time.

    Args:
      assigned: for each program the devices that its learner sees, see `assign`.
      at_once: number of programs that run at the same time.

    Returns:
      For each program the largest number of learners on its devices, its own learner included.
    """
    return [min(at_once, assigned.count(devices)) for devices in assigned]


def _names(numbers: Sequence[int]) -> list[str]:
    """Returns CUDA's names of the devices with these numbers.

    If CUDA_VISIBLE_DEVICES is set here, JAX numbers only the devices in it, in its order. The child process
    gets a new value of this variable, which must name the same devices.
    """
    visible = [name.strip() for name in os.environ.get(_VISIBLE, "").split(",") if name.strip()]
    return [visible[number] if number < len(visible) else str(number) for number in numbers]


def _count_devices() -> int:
    """Counts the CUDA devices that JAX shows in this process's environment; 0 if JAX fails."""
    return int(_ask_jax(_COUNT) or 0)


def _ask_jax(code: str) -> str:
    """Runs code in a process of its own and returns the last line that it prints, or "" if it fails."""
    asked = subprocess.run(
        [sys.executable, "-c", code],
        # Asking must not allocate the memory of a device that another process uses.
        env=os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    # Plug-ins may print before the answer.
    lines = asked.stdout.strip().splitlines()
    return lines[-1] if lines and asked.returncode == 0 else ""
